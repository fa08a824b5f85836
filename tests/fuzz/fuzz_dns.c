/* SPDX-License-Identifier: Apache-2.0 */
/* A message read, answered and walked; the first byte says as what. */
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define QUERY_SIZE 1232
#define ASKER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct directory directory;
static struct container *asker;

static void set_up(void)
{
	char text[] = "name web\nlink db postgres\nndots\nnet n1 front open 172.18.0.0/16 fd00:18::/64 172.18.0.2 fd00:18::2\n"
		      "alias www\nalias a.b.c\n";
	if (asker)
		return;
	if (directory_init(&directory, -1) < 0 || directory_put(&directory, ASKER, text) < 0)
		abort();
	asker = directory_use(&directory, ASKER);
}

static void count(void *ctx, const uint8_t *address, size_t len, uint32_t ttl)
{
	uint8_t *sum = ctx;
	for (size_t i = 0; i < len; i++)
		*sum ^= address[i];
}

/* What we write, we understand, and it is about the same. */
static void check_answer(const struct dns_message *asked, const uint8_t *out, size_t len, size_t max)
{
	struct dns_message m;
	if (len > max || dns_parse(out, len, &m) < 0 || m.id != asked->id || !(m.flags & DNS_FLAG_QR))
		abort();
	if (m.questions && (!dns_name_eq(&m.name, &asked->name) || m.type != asked->type))
		abort();
	size_t at = m.questions ? m.question_end : DNS_HEADER_SIZE;
	struct dns_record r;
	for (unsigned i = 0; i < (unsigned)m.answers + m.authorities + m.additionals; i++) {
		if (dns_next_record(out, len, &at, &r) < 0)
			abort();
	}
	if (at != len)
		abort();
}

/* Kept as the answer to its own question, it is an answer to it that is older. */
static void check_cache(const uint8_t *data, size_t len, const struct dns_message *m)
{
	static struct cache cache;
	static struct resolvers resolvers;
	uint8_t query[QUERY_SIZE], out[CACHE_ANSWER_MAX];
	struct dns_message asked, got;
	if (!resolvers.n)
		resolvers_add(&resolvers, "192.0.2.53");
	if (!m->name.len || m->question_end > sizeof(query))
		return;
	memcpy(query, data, m->question_end);
	memset(query + 6, 0, 6);
	if (dns_parse(query, m->question_end, &asked) < 0)
		return;
	const struct cache_question q = { &resolvers, query, m->question_end, &asked };
	cache_put(&cache, &q, 0, data, len);
	size_t n = cache_find(&cache, &q, 500000000, out);
	if (n && (n != len || dns_parse(out, n, &got) < 0 || got.id != asked.id || !dns_name_eq(&got.name, &asked.name) ||
		  dns_rcode(&got) > DNS_NXDOMAIN || got.flags & DNS_FLAG_TC))
		abort();
	if (cache_find(&cache, &q, (int64_t)CACHE_TTL_MAX_S * 1000000000, out))
		abort();
	cache_done(&cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dns_message m;
	char text[DNS_TEXT_SIZE];
	uint8_t out[4096], sum = 0;
	size_t out_len = 0;
	if (len < 1)
		return 0;
	set_up();
	size_t max = data[0] & 1 ? DNS_UDP_MIN : sizeof(out);
	data++;
	len--;
	if (dns_parse(data, len, &m) == 0) {
		struct dns_name again;
		check_cache(data, len, &m);
		(void)!dns_visit_addresses(data, len, &m, count, &sum);
		if (m.name.len && strlen(dns_name_format(&m.name, text)) == 0)
			abort();
		if (m.name.len && !strchr(text, '\\') && (dns_name_parse(text, &again) < 0 || !dns_name_eq(&again, &m.name)))
			abort();
	}
	if (answer_make(&directory, asker, data, len, &m, out, max, &out_len) == VERDICT_ANSWER)
		check_answer(&m, out, out_len, max);
	return 0;
}
