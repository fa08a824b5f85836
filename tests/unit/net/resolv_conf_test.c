/* SPDX-License-Identifier: Apache-2.0 */
#include "resolv_conf.h"

#include "test.h"

TEST(loopback_servers_are_dropped)
{
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	const struct strv none = { 0 };
	CHECK_EQ(resolv_conf_make("# c\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a.example\noptions ndots:2\n", &none,
				  &none, &none, &out),
		 1);
	CHECK_STR(buf_str(&out), "nameserver 10.0.0.1\nsearch a.example\noptions ndots:2\n");
}

TEST(given_values_replace_the_host_s)
{
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	CLEANUP_STRV struct strv servers = { 0 }, search = { 0 };
	const struct strv none = { 0 };
	strv_add(&servers, "192.0.2.1");
	strv_add(&search, ".");
	CHECK_EQ(resolv_conf_make("nameserver 10.0.0.1\nsearch a.example\n", &servers, &search, &none, &out), 1);
	CHECK_STR(buf_str(&out), "nameserver 192.0.2.1\n");
}

TEST(a_name_server_of_one_s_own)
{
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	CLEANUP_STRV struct strv servers = { 0 }, search = { 0 }, options = { 0 };
	const struct strv none = { 0 };
	const char *host = "domain old.example\nnameserver 10.0.0.1\nsearch  a.example\tb.example\noptions edns0 trust-ad\n";
	CHECK_EQ(resolv_conf_make_local(host, "127.0.0.11", &none, &none, &none, &out), 0);
	CHECK_STR(buf_str(&out), "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:0\n");
	buf_clear(&out);
	strv_add(&servers, "192.0.2.1");
	strv_add(&servers, "127.0.0.1");
	strv_add(&search, "c.example");
	strv_add(&options, "ndots:3");
	CHECK_EQ(resolv_conf_make_local(host, "127.0.0.11", &servers, &search, &options, &out), 0);
	CHECK_STR(buf_str(&out), "nameserver 127.0.0.11\nnameserver 127.0.0.1\nsearch c.example\noptions ndots:3\n");
}

TEST_MAIN()
