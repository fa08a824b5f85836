/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_challenge.h"

#include "str.h"
#include "test.h"

static void check(const char *header, enum challenge_scheme scheme, const char *realm, const char *service)
{
	CLEANUP_CHALLENGE struct challenge c = { 0 };
	struct err err = ERR_INIT;
	if (challenge_parse(header, &c, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", header, err.msg);
	CHECK_EQ(c.scheme, scheme);
	CHECK(str_eq(c.realm, realm));
	CHECK(str_eq(c.service, service));
}

TEST(challenges)
{
	check("Bearer realm=\"https://a/t\",service=\"b c\",scope=\"repository:x:pull\"", CHALLENGE_BEARER, "https://a/t", "b c");
	check("bearer Realm=\"q\\\"uote\"", CHALLENGE_BEARER, "q\"uote", NULL);
	check("Basic realm=\"Registry Realm\"", CHALLENGE_BASIC, "Registry Realm", NULL);
	check("Basic", CHALLENGE_BASIC, NULL, NULL);
	check("Basic realm=\"x\", Bearer realm=\"y\",error=\"z\"", CHALLENGE_BEARER, "y", NULL);
	check("Bearer realm=\"y\", Basic realm=\"x\"", CHALLENGE_BEARER, "y", NULL);
	check("Negotiate, Basic realm=x", CHALLENGE_BASIC, "x", NULL);
	check("", CHALLENGE_NONE, NULL, NULL);
	check("Bearer realm=https://a/t,service=s", CHALLENGE_BEARER, "https://a/t", "s");
}

TEST(bad_challenges)
{
	const char *const bad[] = { "Bearer", "Bearer realm", "Bearer realm=\"open", "Bearer realm=", "\x01", "Bearer =x", "Bearer realm=\"a\"b" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct challenge c = { 0 };
		struct err err = ERR_INIT;
		if (challenge_parse(bad[i], &c, &err) >= 0)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
	}
}

TEST(addresses)
{
	CLEANUP_WEB_ADDRESS struct web_address a = { 0 };
	struct err err = ERR_INIT;
	CHECK_EQ(web_address_parse("HTTPS://Host.Example:8443/p?q", &a, &err), 0);
	CHECK(a.is_https);
	CHECK_STR(a.host, "host.example");
	CHECK_EQ(a.port, 8443);
	CHECK_STR(a.path, "/p?q");
	web_address_done(&a);
	CHECK_EQ(web_address_parse("http://[::1]", &a, &err), 0);
	CHECK_STR(a.host, "::1");
	CHECK_EQ(a.port, 80);
	const char *const bad[] = { "", "file:///x", "//x", "http://", "http://u@h/", "http://h:0/", "http://h:99999/", "http://[::1",
				    "http://h/\r\nX: y", "http://h/#f", "http://h\\@e/", "http://[::1]x/", "http://a b/", "http://h:/" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct web_address b = { 0 };
		if (web_address_parse(bad[i], &b, &err) >= 0)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
	}
}

TEST(kinds_of_hosts)
{
	CHECK(host_is_loopback("localhost") && host_is_loopback("127.1.2.3") && host_is_loopback("::1") &&
	      host_is_loopback("::ffff:127.0.0.1"));
	CHECK(!host_is_loopback("128.0.0.1") && !host_is_loopback("localhost.evil") && !host_is_loopback("127.0.0.1.evil"));
	CHECK(host_is_link_local("169.254.169.254") && host_is_link_local("fe80::1") && host_is_link_local("2852039166") &&
	      host_is_link_local("0xa9fea9fe") && host_is_link_local("::ffff:169.254.169.254"));
	CHECK(!host_is_link_local("10.0.0.1") && !host_is_link_local("example.com"));
}

/* Trust as REALM_x, or -1 for refused. */
static int trust(const char *registry, const char *realm, bool http)
{
	CLEANUP_WEB_ADDRESS struct web_address a = { 0 }, b = { 0 };
	struct err err = ERR_INIT;
	enum realm_trust t;
	CHECK_EQ(web_address_parse(registry, &a, &err), 0);
	CHECK_EQ(web_address_parse(realm, &b, &err), 0);
	return realm_check(&a, &b, http, &t, &err) < 0 ? -1 : (int)t;
}

TEST(realms)
{
	CHECK_EQ(trust("https://registry-1.docker.io/", "https://auth.docker.io/token", false), REALM_FULL);
	CHECK_EQ(trust("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth", false), REALM_FULL);
	CHECK_EQ(trust("https://ghcr.io/", "https://ghcr.io/token", false), REALM_FULL);
	CHECK_EQ(trust("http://127.0.0.1:5000/", "http://127.0.0.1:6000/t", true), REALM_FULL);
	/* A token perhaps, the password never. */
	CHECK_EQ(trust("https://ghcr.io/", "https://evil.io/token", false), REALM_ANONYMOUS);
	CHECK_EQ(trust("https://a.example.com/", "https://example.com.evil.net/", false), REALM_ANONYMOUS);
	CHECK_EQ(trust("https://a.example.com/", "https://notexample.com/", false), REALM_ANONYMOUS);
	CHECK_EQ(trust("https://shop.co.uk/", "https://evil.co.uk/", false), REALM_ANONYMOUS);
	CHECK_EQ(trust("https://10.0.0.1/", "https://11.0.0.1/", false), REALM_ANONYMOUS);
	/* Not at all. */
	CHECK_EQ(trust("https://a.example.com/", "http://a.example.com/", true), -1);
	CHECK_EQ(trust("http://10.0.0.1/", "http://10.0.0.1/", false), -1);
	CHECK_EQ(trust("https://a.example.com/", "https://169.254.169.254/", false), -1);
	CHECK_EQ(trust("https://a.example.com/", "https://localhost/", false), -1);
}

TEST_MAIN()
