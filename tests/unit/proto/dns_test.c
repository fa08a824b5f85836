/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "dns.h"
#include "test.h"

static struct dns_name name(const char *text)
{
	struct dns_name n;
	CHECK(dns_name_parse(text, &n) == 0);
	return n;
}

TEST(names_are_parsed_and_formatted)
{
	struct dns_name n, longest;
	char text[DNS_TEXT_SIZE], label[130];
	n = name("Web.Example.");
	CHECK_EQ(n.len, 13);
	CHECK(memcmp(n.wire, "\3web\7example", 13) == 0);
	CHECK_STR(dns_name_format(&n, text), "web.example");
	n = name(".");
	CHECK_STR(dns_name_format(&n, text), ".");
	memset(label, 'x', sizeof(label));
	label[64] = '\0';
	CHECK_EQ(dns_name_parse(label, &n), -EINVAL);
	label[63] = '\0';
	CHECK(dns_name_parse(label, &n) == 0);
	CHECK_EQ(dns_name_parse("a..b", &n), -EINVAL);
	/* 255 bytes on the wire, and no more. */
	char big[300] = "";
	for (int i = 0; i < 127; i++)
		memcpy(big + 2 * i, "a.", 3);
	CHECK(dns_name_parse(big, &longest) == 0);
	CHECK_EQ(longest.len, 255);
	memcpy(big + 254, "a.", 3);
	CHECK_EQ(dns_name_parse(big, &n), -EINVAL);
	struct dns_name odd = { 6, "\4a.\1\\" };
	CHECK_STR(dns_name_format(&odd, text), "a\\046\\001\\092");
}

TEST(names_below_names)
{
	struct dns_name a = name("web.front.example"), b = name("example"), c = name("ample"), root = name("");
	CHECK_EQ(dns_name_below(&a, &b), 10);
	CHECK_EQ(dns_name_below(&a, &a), 0);
	CHECK_EQ(dns_name_below(&a, &c), -1);
	CHECK_EQ(dns_name_below(&b, &a), -1);
	CHECK_EQ(dns_name_below(&a, &root), 18);
	CHECK_EQ(dns_name_labels(&a), 3);
	CHECK_EQ(dns_name_labels(&root), 0);
}

static size_t address_of(const char *text, uint8_t ret[16])
{
	struct dns_name n = name(text);
	return dns_name_to_address(&n, ret);
}

TEST(names_that_stand_for_addresses)
{
	uint8_t a[16];
	CHECK_EQ(address_of("4.3.2.1.in-addr.arpa", a), 4);
	CHECK(memcmp(a, "\1\2\3\4", 4) == 0);
	CHECK_EQ(address_of("256.3.2.1.in-addr.arpa", a), 0);
	CHECK_EQ(address_of("04.3.2.1.in-addr.arpa", a), 0);
	CHECK_EQ(address_of("3.2.1.in-addr.arpa", a), 0);
	CHECK_EQ(address_of("5.4.3.2.1.in-addr.arpa", a), 0);
	CHECK_EQ(address_of("x.3.2.1.in-addr.arpa", a), 0);
	CHECK_EQ(address_of("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", a), 16);
	CHECK(memcmp(a, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16) == 0);
	CHECK_EQ(address_of("g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", a), 0);
}

/* "web A", as a query. */
static const uint8_t query[] = "\0\7\1\0\0\1\0\0\0\0\0\0\3wEb\0\0\1\0\1";

TEST(questions_are_read)
{
	struct dns_message m;
	CHECK(dns_parse(query, sizeof(query) - 1, &m) == 0);
	struct dns_name web = name("web");
	CHECK(m.id == 7 && m.type == DNS_A && m.class == DNS_CLASS_IN && dns_name_eq(&m.name, &web));
	CHECK(!m.has_edns && m.udp_size == 512);
	for (size_t n = 0; n < sizeof(query) - 1; n++)
		CHECK_EQ(dns_parse(query, n, &m), n < 12 ? -EBADMSG : -EINVAL);
	/* A size below 512 is no size (RFC 6891, 6.2.3). */
	const uint8_t edns[] = "\0\7\1\0\0\1\0\0\0\0\0\1\3web\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\0";
	CHECK(dns_parse(edns, sizeof(edns) - 1, &m) == 0);
	CHECK(m.has_edns && m.udp_size == 1232);
	const uint8_t small[] = "\0\7\1\0\0\1\0\0\0\0\0\1\3web\0\0\1\0\1\0\0\x29\0\x10\0\0\0\0\0\0";
	CHECK(dns_parse(small, sizeof(small) - 1, &m) == 0);
	CHECK(m.has_edns && m.udp_size == 512);
}

TEST(pointers_lead_backwards)
{
	struct dns_name n, expected = name("b.a");
	/* 12: "a", 15: "b" and a pointer to 12, 19: a pointer to 15. */
	uint8_t data[64] = "............\1a\0\1b\xc0\x0c\xc0\x0f";
	size_t at = 19;
	CHECK(dns_read_name(data, 21, &at, &n) == 0);
	CHECK(dns_name_eq(&n, &expected));
	CHECK_EQ(at, 21);
	data[20] = 19; /* to itself */
	at = 19;
	CHECK_EQ(dns_read_name(data, 21, &at, &n), -EINVAL);
	data[20] = 30; /* ahead */
	at = 19;
	CHECK_EQ(dns_read_name(data, 40, &at, &n), -EINVAL);
	data[20] = 4; /* into the header */
	at = 19;
	CHECK_EQ(dns_read_name(data, 40, &at, &n), -EINVAL);
	/* Two that lead to each other. */
	memcpy(data + 12, "\1a\xc0\x10\xc0\x0c", 6);
	at = 16;
	CHECK_EQ(dns_read_name(data, 40, &at, &n), -EINVAL);
}

TEST(answers_are_written)
{
	uint8_t out[DNS_UDP_MIN];
	struct dns_message m, back;
	struct dns_writer w;
	struct dns_record r;
	CHECK(dns_parse(query, sizeof(query) - 1, &m) == 0);
	dns_write_begin(&w, out, sizeof(out), query, &m);
	dns_write_address(&w, (const uint8_t *)"\1\2\3\4", 4, 5);
	size_t len = dns_write_end(&w, &m, DNS_NOERROR, 0);
	CHECK(dns_parse(out, len, &back) == 0);
	CHECK(back.id == 7 && back.answers == 1 && (back.flags & DNS_FLAG_RD) && (back.flags & DNS_FLAG_QR));
	CHECK(memcmp(out + 12, query + 12, 5) == 0); /* in the asker's letters */
	size_t at = back.question_end;
	CHECK(dns_next_record(out, len, &at, &r) == 0);
	CHECK(r.type == DNS_A && r.ttl == 5 && dns_name_eq(&r.name, &m.name) && memcmp(out + r.data_at, "\1\2\3\4", 4) == 0);
	CHECK_EQ(at, len);
}

TEST(what_does_not_fit_is_cut)
{
	uint8_t out[DNS_UDP_MIN];
	struct dns_message m, back;
	struct dns_writer w;
	CHECK(dns_parse(query, sizeof(query) - 1, &m) == 0);
	m.has_edns = true;
	dns_write_begin(&w, out, sizeof(out), query, &m);
	for (int i = 0; i < 100; i++)
		dns_write_address(&w, (const uint8_t *)"\1\2\3\4", 4, 5);
	size_t len = dns_write_end(&w, &m, DNS_NOERROR, 0);
	CHECK(len <= sizeof(out));
	CHECK(dns_parse(out, len, &back) == 0);
	CHECK(back.flags & DNS_FLAG_TC);
	CHECK(back.has_edns && back.answers == (512 - 11 - 21) / 16);
}

static void collect(void *ctx, const uint8_t *address, size_t len, uint32_t ttl)
{
	uint8_t *got = ctx;
	CHECK_EQ(len, 4);
	got[++got[0]] = address[3];
}

TEST(only_addresses_that_were_asked_for_are_visited)
{
	/* www A?  x A 1 (found by way of the CNAME after it), www CNAME x, y A 2. */
	const uint8_t data[] = "\0\7\x81\x80\0\1\0\3\0\0\0\0\3www\0\0\1\0\1"
			       "\1x\0\0\1\0\1\0\0\0\5\0\4\1\1\1\1"
			       "\xc0\x0c\0\5\0\1\0\0\0\5\0\3\1x\0"
			       "\1y\0\0\1\0\1\0\0\0\5\0\4\2\2\2\2";
	struct dns_message m;
	uint8_t got[8] = { 0 };
	CHECK(dns_parse(data, sizeof(data) - 1, &m) == 0);
	CHECK(dns_visit_addresses(data, sizeof(data) - 1, &m, collect, got) == 0);
	CHECK(got[0] == 1 && got[1] == 1);
	CHECK_EQ(dns_visit_addresses(data, sizeof(data) - 5, &m, collect, got), -EINVAL);
}

TEST_MAIN()
