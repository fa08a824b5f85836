/* SPDX-License-Identifier: Apache-2.0 */
/* What hull-names remembers, for how long, and of whom. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "str.h"
#include "test.h"

#define S 1000000000LL

static struct cache cache;
static uint8_t query[600], answer[CACHE_ANSWER_MAX], out[CACHE_ANSWER_MAX];
static size_t query_len, answer_len;
static struct dns_message m;
static struct resolvers host, own;

static size_t put_question(uint8_t *to, const char *name, uint16_t type, uint16_t id, uint16_t flags)
{
	struct dns_name n;
	CHECK_EQ(dns_name_parse(name, &n), 0);
	memset(to, 0, DNS_HEADER_SIZE);
	dns_put16(to, id);
	dns_put16(to + 2, flags);
	dns_put16(to + 4, 1);
	/* In the letters that are asked for. */
	size_t at = DNS_HEADER_SIZE;
	memcpy(to + at, n.wire, n.len);
	for (size_t i = 0, k = 0; name[i] && k < n.len; i++, k++)
		if (name[i] != '.')
			to[at + 1 + k] = (uint8_t)name[i];
	at += n.len;
	dns_put16(to + at, type);
	dns_put16(to + at + 2, DNS_CLASS_IN);
	return at + 4;
}

static void ask(const char *name, uint16_t type, uint16_t id)
{
	query_len = put_question(query, name, type, id, DNS_FLAG_RD);
	CHECK_EQ(dns_parse(query, query_len, &m), 0);
}

static void begin(enum dns_rcode rcode)
{
	memcpy(answer, query, query_len);
	answer_len = query_len;
	dns_put16(answer + 2, (uint16_t)(DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA | rcode));
}

/* A record of the name asked for; @section: 6 answers, 8 authorities, 10 additionals. */
static void record(size_t section, uint16_t type, uint32_t ttl, const void *data, uint16_t len)
{
	uint8_t *p = answer + answer_len;
	dns_put16(answer + section, (uint16_t)(dns_get16(answer + section) + 1));
	dns_put16(p, 0xc00c);
	dns_put16(p + 2, type);
	dns_put16(p + 4, DNS_CLASS_IN);
	dns_put16(p + 6, (uint16_t)(ttl >> 16));
	dns_put16(p + 8, (uint16_t)ttl);
	dns_put16(p + 10, len);
	memcpy(p + 12, data, len);
	answer_len += 12u + len;
}

static void address(uint32_t ttl)
{
	record(6, DNS_A, ttl, "\300\0\2\1", 4);
}

static void soa(uint32_t ttl, uint32_t minimum)
{
	uint8_t data[22] = { 0 };
	dns_put16(data + 18, (uint16_t)(minimum >> 16));
	dns_put16(data + 20, (uint16_t)minimum);
	record(8, DNS_SOA, ttl, data, sizeof(data));
}

static struct cache_question of(const struct resolvers *r)
{
	return (struct cache_question){ r, query, query_len, &m };
}

static void put(int64_t at_s)
{
	const struct cache_question q = of(&host);
	cache_put(&cache, &q, at_s * S, answer, answer_len);
}

static size_t find(int64_t at_s)
{
	const struct cache_question q = of(&host);
	return cache_find(&cache, &q, at_s * S, out);
}

static uint32_t first_ttl(size_t len)
{
	struct dns_message got;
	struct dns_record r;
	CHECK_EQ(dns_parse(out, len, &got), 0);
	size_t at = got.question_end;
	CHECK_EQ(dns_next_record(out, len, &at, &r), 0);
	return r.ttl;
}

static void set_up(void)
{
	cache_done(&cache);
	host = own = (struct resolvers){ 0 };
	resolvers_add(&host, "192.0.2.53");
	resolvers_add(&own, "198.51.100.53");
}

TEST(an_answer_ages_and_ends_with_its_time)
{
	set_up();
	ask("www.example.com", DNS_A, 1);
	CHECK_EQ(find(0), 0);
	begin(DNS_NOERROR);
	address(60);
	put(100);
	ask("WWW.eXample.com", DNS_A, 0x4242);
	size_t len = find(125);
	CHECK_EQ(len, answer_len);
	CHECK_EQ(dns_get16(out), 0x4242);
	/* In the letters of who asks now. */
	CHECK(memcmp(out + DNS_HEADER_SIZE, query + DNS_HEADER_SIZE, m.name.len) == 0);
	CHECK_EQ(first_ttl(len), 35);
	CHECK_EQ(first_ttl(find(159)), 1);
	CHECK_EQ(find(160), 0);
	CHECK_EQ(cache.entries_n, 0);
	CHECK_EQ(cache.bytes, 0);
}

TEST(another_question_is_another)
{
	set_up();
	ask("www.example.com", DNS_A, 1);
	begin(DNS_NOERROR);
	address(60);
	put(0);
	ask("www.example.com", DNS_AAAA, 1);
	CHECK_EQ(find(1), 0);
	ask("ww.example.com", DNS_A, 1);
	CHECK_EQ(find(1), 0);
	ask("www.example.com", DNS_A, 1);
	const struct cache_question others = of(&own);
	CHECK_EQ(cache_find(&cache, &others, 1 * S, out), 0);
	query[3] |= DNS_FLAG_CD; /* unchecked answers are for who wants such */
	CHECK_EQ(dns_parse(query, query_len, &m), 0);
	CHECK_EQ(find(1), 0);
	ask("www.example.com", DNS_A, 7);
	CHECK(find(1));
}

TEST(an_answer_to_another_question_is_not_kept)
{
	set_up();
	ask("victim.example", DNS_A, 1);
	begin(DNS_NOERROR);
	address(60);
	ask("other.example", DNS_A, 1);
	put(0);
	CHECK_EQ(cache.entries_n, 0);
}

TEST(absence_is_kept_as_its_zone_says)
{
	set_up();
	ask("no.example.com", DNS_A, 1);
	begin(DNS_NXDOMAIN);
	soa(300, 20);
	put(0);
	CHECK(find(19));
	CHECK_EQ(find(20), 0);
	begin(DNS_NOERROR);
	soa(10, 3600);
	put(0);
	CHECK(find(9));
	CHECK_EQ(find(10), 0);
	begin(DNS_NXDOMAIN);
	soa(86400, 86400);
	put(0);
	CHECK(find(CACHE_ABSENCE_TTL_MAX_S - 1));
	CHECK_EQ(find(CACHE_ABSENCE_TTL_MAX_S), 0);
	/* Nobody vouches for it. */
	begin(DNS_NXDOMAIN);
	put(0);
	CHECK_EQ(find(0), 0);
}

TEST(failures_cut_answers_and_times_of_nothing_are_not_kept)
{
	static const enum dns_rcode rcodes[] = { DNS_SERVFAIL, DNS_REFUSED, DNS_FORMERR, DNS_NOTIMP };
	set_up();
	ask("www.example.com", DNS_A, 1);
	for (size_t i = 0; i < ARRAY_LEN(rcodes); i++) {
		begin(rcodes[i]);
		address(60);
		put(0);
		CHECK_EQ(find(0), 0);
	}
	begin(DNS_NOERROR);
	address(60);
	answer[2] |= DNS_FLAG_TC >> 8;
	put(0);
	CHECK_EQ(find(0), 0);
	begin(DNS_NOERROR);
	address(60);
	address(0);
	put(0);
	CHECK_EQ(find(0), 0);
	begin(DNS_NOERROR);
	address(0x80000000u);
	put(0);
	CHECK_EQ(find(0), 0);
	begin(DNS_NOERROR);
	address(60);
	answer_len--; /* cut short */
	put(0);
	CHECK_EQ(find(0), 0);
	ask("www.example.com", DNS_ANY, 1);
	begin(DNS_NOERROR);
	address(60);
	put(0);
	CHECK_EQ(find(0), 0);
	/* Nor for ever. */
	ask("www.example.com", DNS_A, 1);
	begin(DNS_NOERROR);
	address(0x7fffffff);
	put(0);
	CHECK(find(CACHE_TTL_MAX_S - 1));
	CHECK_EQ(find(CACHE_TTL_MAX_S), 0);
}

TEST(it_is_bounded_and_the_longest_unused_goes)
{
	char name[32];
	set_up();
	for (int i = 0; i < CACHE_ENTRIES_MAX + 100; i++) {
		snprintf(name, sizeof(name), "n%d.example.com", i);
		ask(name, DNS_A, 1);
		begin(DNS_NOERROR);
		address(600);
		put(0);
		ask("n0.example.com", DNS_A, 1);
		CHECK(find(0));
	}
	CHECK_EQ(cache.entries_n, CACHE_ENTRIES_MAX);
	CHECK(cache.bytes <= CACHE_BYTES_MAX);
	ask("n1.example.com", DNS_A, 1);
	CHECK_EQ(find(0), 0);
	cache_done(&cache);
	/* Large ones: by their bytes. */
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "l%d.example.com", i);
		ask(name, DNS_A, 1);
		begin(DNS_NOERROR);
		while (answer_len < CACHE_ANSWER_MAX - 100)
			address(600);
		put(0);
	}
	CHECK(cache.bytes <= CACHE_BYTES_MAX);
	CHECK(cache.entries_n > 400);
	cache_done(&cache);
	CHECK_EQ(cache.bytes, 0);
}

TEST_MAIN()
