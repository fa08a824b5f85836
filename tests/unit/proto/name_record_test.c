/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "name_record.h"
#include "test.h"

static int parse(const char *text, struct name_record *ret)
{
	CLEANUP_FREE char *copy = str_dup(text);
	return name_record_parse(copy, ret);
}

TEST(a_record_survives_the_file)
{
	const char *text = "name web\nndots\nrestricted\nout\nlink db postgres\ndns 192.0.2.53\n"
			   "net n1 front open 172.18.0.0/16 fd00:18::/64 172.18.0.2 fd00:18::2\nalias www\nalias cache\n"
			   "net n2 back internal - - - -\nown 172.17.0.2\nown fd00::2\negress api.example.com 6 443 450\n";
	CLEANUP_NAME_RECORD struct name_record r = { 0 };
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	CHECK(parse(text, &r) == 0);
	CHECK(r.has_ndots && r.nets_n == 2 && r.nets[0].aliases.n == 2 && r.nets[1].is_internal && !r.nets[0].is_internal);
	CHECK(r.nets[0].subnet4.prefix == 16 && r.nets[0].address6.len == 16 && r.nets[1].address4.len == 0);
	CHECK(name_record_format(&r, &out) == 0);
	CHECK_STR(buf_str(&out), text);
}

TEST(words_of_users_cannot_add_lines)
{
	CLEANUP_NAME_RECORD struct name_record r = { .name = str_dup("web") };
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	struct name_net *net = name_record_add_net(&r, "n1", "front");
	strv_add(&net->aliases, "x\nname evil");
	strv_add(&net->aliases, "a b");
	strv_add(&net->aliases, "");
	strv_add(&net->aliases, "good");
	CHECK(name_record_format(&r, &out) == 0);
	CHECK_STR(buf_str(&out), "name web\nnet n1 front open - - - -\nalias good\n");
	free(r.name);
	r.name = str_dup("we b");
	CHECK_EQ(name_record_format(&r, &out), -EINVAL);
}

TEST(what_hull_does_not_write_is_refused)
{
	static const char *const bad[] = {
		"", "net n f open - - - -\n", "name a b\n", "name a\nname b\n", "name a\nalias x\n", "name a\nnet n f open - - -\n",
		"name a\nnet n f shut - - - -\n", "name a\nnet n f open 10.0.0.0/33 - - -\n", "name a\nnet n f open fd00::/64 - - -\n",
		"name a\nnet n f open - - - 10.0.0.1\n", "name a\nlink x\n", "name a\ndns\n", "name a\nown x\n", "name a\nown\n", "name a\negress x 6 443\n",
		"name a\negress x 256 1 1\n", "name a\negress x 6 2 1\n", "name a\negress x 6 1 65536\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP_NAME_RECORD struct name_record r = { 0 };
		if (parse(bad[i], &r) != -EINVAL)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
	}
	CLEANUP_NAME_RECORD struct name_record r = { 0 };
	CHECK(parse("name a\nsomething new\n", &r) == 0);
}

TEST(subnets_cover_addresses)
{
	struct name_address net, a;
	CHECK(name_address_parse("172.16.0.0/12", &net) == 0);
	CHECK(name_address_parse("172.31.255.255", &a) == 0);
	CHECK(name_address_covers(&net, a.bytes, a.len));
	CHECK(name_address_parse("172.32.0.0", &a) == 0);
	CHECK(!name_address_covers(&net, a.bytes, a.len));
	CHECK(name_address_parse("fd00::1", &a) == 0);
	CHECK(!name_address_covers(&net, a.bytes, a.len));
	struct name_address none = { 0 };
	CHECK(!name_address_covers(&none, a.bytes, a.len));
}

TEST_MAIN()
