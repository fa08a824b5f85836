/* SPDX-License-Identifier: Apache-2.0 */
#include "egress.h"

#include <string.h>
#include <sys/socket.h>

#include "str.h"
#include "test.h"

static struct egress parse(const char *text)
{
	struct err err = ERR_INIT;
	struct egress e = { 0 };
	if (egress_parse(text, &e, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", text, err.msg);
	return e;
}

TEST(a_name_with_its_port)
{
	struct egress e = parse("API.Example.com.:443");
	CHECK_STR(e.name, "api.example.com");
	CHECK_STR(e.protocol, "tcp");
	CHECK_EQ(e.port_first, 443);
	CHECK_EQ(e.port_last, 443);
	e = parse("_dns.resolver.arpa:853-855/udp");
	CHECK_STR(e.name, "_dns.resolver.arpa");
	CHECK_STR(e.protocol, "udp");
	CHECK_EQ(e.port_last, 855);
	/* A host name may begin with a digit, and be one. */
	CHECK_STR(parse("7zip.example:1").name, "7zip.example");
}

TEST(an_address_with_what_is_said)
{
	struct egress e = parse("198.51.100.7");
	CHECK_EQ(e.address.family, AF_INET);
	CHECK_EQ(e.address.prefix, 32);
	CHECK_STR(e.protocol, "");
	CHECK_EQ(e.port_first, 0);
	e = parse("192.0.2.0/24:5432-5440/SCTP");
	CHECK_EQ(e.address.prefix, 24);
	CHECK_STR(e.protocol, "sctp");
	CHECK_EQ(e.port_last, 5440);
	e = parse("2001:db8::/32");
	CHECK_EQ(e.address.family, AF_INET6);
	CHECK_EQ(e.address.prefix, 32);
	e = parse("[2001:db8::1]:443");
	CHECK_EQ(e.address.prefix, 128);
	CHECK_EQ(e.port_first, 443);
	e = parse("[2001:db8::]/48:443/udp");
	CHECK_EQ(e.address.prefix, 48);
	CHECK_STR(e.protocol, "udp");
	CHECK_STR(parse("192.0.2.1/icmp").protocol, "icmp");
}

TEST(what_it_is_not)
{
	static const char *const wrong[] = {
		"", ":443", "example.com", "example.com:", "example.com:0", "example.com:65536", "example.com:443-442",
		"a..b:1", ".a:1", "a b:1", "10.0.0.300:80", "1.2.3:80", "192.0.2.0/33:1", "192.0.2.1:443/gre", "[2001:db8::1:443",
		"[]:1", "name:1-17", "name:1/icmp", "192.0.2.1:1/icmp", "name\n:1", "2001:db8::1:443x", "/tcp",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;
		struct egress e;
		if (egress_parse(wrong[i], &e, &err) == 0)
			test_fail(__FILE__, __LINE__, "\"%s\" was taken", wrong[i]);
		CHECK_EQ(err.kind, ERR_INVALID);
	}
}

TEST_MAIN()
