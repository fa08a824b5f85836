/* SPDX-License-Identifier: Apache-2.0 */
#include "cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "str.h"

#define NS_PER_S 1000000000LL
#define KEY_MAX 1600

struct cache_entry {
	uint64_t hash;
	struct cache_entry *in_bucket, *next, *previous;
	int64_t at_ns;
	uint32_t ttl_s;
	uint16_t key_len, len;
	uint8_t data[]; /* the key, then the answer */
};

/* ---- questions ---- */

struct key {
	uint8_t bytes[KEY_MAX];
	size_t len;
	uint64_t hash;
};

static bool key_add(struct key *k, const void *data, size_t len)
{
	if (len > sizeof(k->bytes) - k->len)
		return false;
	memcpy(k->bytes + k->len, data, len);
	k->len += len;
	return true;
}

/* Whom it is put to, and all of it but its id; the name as it is compared. */
static bool make_key(const struct cache_question *q, struct key *k)
{
	const struct dns_message *m = q->m;
	k->len = 0;
	/* A name that is compressed, or is not there, is nothing that anybody asks. */
	if (!m->name.len || m->question_end != DNS_HEADER_SIZE + m->name.len + 4u || q->len < m->question_end)
		return false;
	for (size_t i = 0; i < q->resolvers->n; i++) {
		const union resolver *r = &q->resolvers->list[i];
		bool is4 = r->any.sa_family == AF_INET;
		if (!key_add(k, &r->any.sa_family, sizeof(r->any.sa_family)) ||
		    !(is4 ? key_add(k, &r->in4.sin_addr, 4) && key_add(k, &r->in4.sin_port, 2) :
			    key_add(k, &r->in6.sin6_addr, 16) && key_add(k, &r->in6.sin6_port, 2) &&
				    key_add(k, &r->in6.sin6_scope_id, sizeof(r->in6.sin6_scope_id))))
			return false;
	}
	size_t rest = DNS_HEADER_SIZE + m->name.len;
	if (!key_add(k, q->query + 2, DNS_HEADER_SIZE - 2) || !key_add(k, m->name.wire, m->name.len) ||
	    !key_add(k, q->query + rest, q->len - rest))
		return false;
	k->hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	for (size_t i = 0; i < k->len; i++)
		k->hash = (k->hash ^ k->bytes[i]) * 0x100000001b3ULL;
	return true;
}

/* ---- the list ---- */

static struct cache_entry **bucket_of(struct cache *c, uint64_t hash)
{
	return &c->buckets[(hash ^ hash >> 32) % ARRAY_LEN(c->buckets)];
}

static void unlink_entry(struct cache *c, struct cache_entry *e)
{
	*(e->previous ? &e->previous->next : &c->first) = e->next;
	*(e->next ? &e->next->previous : &c->last) = e->previous;
}

static void to_front(struct cache *c, struct cache_entry *e)
{
	e->previous = NULL;
	e->next = c->first;
	*(c->first ? &c->first->previous : &c->last) = e;
	c->first = e;
}

static void drop(struct cache *c, struct cache_entry *e)
{
	struct cache_entry **at = bucket_of(c, e->hash);
	while (*at != e)
		at = &(*at)->in_bucket;
	*at = e->in_bucket;
	unlink_entry(c, e);
	c->entries_n--;
	c->bytes -= sizeof(*e) + e->key_len + e->len;
	free(e);
}

static struct cache_entry *find(struct cache *c, const struct key *k)
{
	struct cache_entry *e = *bucket_of(c, k->hash);
	while (e && !(e->hash == k->hash && e->key_len == k->len && memcmp(e->data, k->bytes, k->len) == 0))
		e = e->in_bucket;
	return e;
}

void cache_done(struct cache *c)
{
	while (c->first)
		drop(c, c->first);
}

/* ---- answers ---- */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)dns_get16(p) << 16 | dns_get16(p + 2);
}

/* Of the absence that the SOA record says; its data ends with the figure. */
static uint32_t absence_ttl(const uint8_t *answer, const struct dns_record *soa)
{
	uint32_t minimum = soa->data_len >= 22 ? get32(answer + soa->data_at + soa->data_len - 4) : 0;
	uint32_t ttl = minimum < soa->ttl ? minimum : soa->ttl;
	return ttl < CACHE_ABSENCE_TTL_MAX_S ? ttl : CACHE_ABSENCE_TTL_MAX_S;
}

/* How long it may be kept; 0: not at all. */
static uint32_t ttl_of(const uint8_t *answer, size_t len, const struct dns_message *m)
{
	bool is_absence = dns_rcode(m) == DNS_NXDOMAIN || m->answers == 0, has_soa = false;
	unsigned records = (unsigned)m->answers + m->authorities + m->additionals;
	uint32_t ttl = CACHE_TTL_MAX_S;
	size_t at = m->question_end;
	if ((dns_rcode(m) != DNS_NOERROR && dns_rcode(m) != DNS_NXDOMAIN) || m->flags & DNS_FLAG_TC || dns_opcode(m) != 0 ||
	    m->class != DNS_CLASS_IN || m->type == DNS_ANY)
		return 0;
	for (unsigned i = 0; i < records; i++) {
		struct dns_record r;
		if (dns_next_record(answer, len, &at, &r) < 0)
			return 0;
		if (r.type == DNS_OPT)
			continue;
		/* The highest bit is none of a time (RFC 2181, 8). */
		uint32_t own = r.ttl > INT32_MAX ? 0 : r.ttl;
		if (is_absence && r.type == DNS_SOA && i >= m->answers && i < (unsigned)m->answers + m->authorities) {
			has_soa = true;
			own = absence_ttl(answer, &r);
		}
		ttl = own < ttl ? own : ttl;
	}
	/* Nobody knows for how long something is absent that nobody vouches for. */
	return is_absence && !has_soa ? 0 : ttl;
}

/* The times to live of an answer that was @age_s old when it was asked for. */
static int let_age(uint8_t *answer, size_t len, uint32_t age_s)
{
	struct dns_message m;
	struct dns_record r;
	if (dns_parse(answer, len, &m) < 0)
		return -EINVAL;
	size_t at = m.question_end;
	for (unsigned i = 0; i < (unsigned)m.answers + m.authorities + m.additionals; i++) {
		if (dns_next_record(answer, len, &at, &r) < 0)
			return -EINVAL;
		if (r.type == DNS_OPT)
			continue;
		uint32_t left = r.ttl > age_s ? r.ttl - age_s : 0;
		uint8_t *ttl = answer + r.data_at - 6;
		dns_put16(ttl, (uint16_t)(left >> 16));
		dns_put16(ttl + 2, (uint16_t)left);
	}
	return 0;
}

size_t cache_find(struct cache *c, const struct cache_question *q, int64_t now_ns, uint8_t *out)
{
	struct key k;
	struct cache_entry *e = make_key(q, &k) ? find(c, &k) : NULL;
	if (!e)
		return 0;
	int64_t age_s = (now_ns - e->at_ns) / NS_PER_S;
	if (age_s < 0 || age_s >= e->ttl_s) {
		drop(c, e);
		return 0;
	}
	memcpy(out, e->data + e->key_len, e->len);
	if (let_age(out, e->len, (uint32_t)age_s) < 0) {
		drop(c, e);
		return 0;
	}
	dns_put16(out, q->m->id);
	memcpy(out + DNS_HEADER_SIZE, q->query + DNS_HEADER_SIZE, q->m->name.len);
	unlink_entry(c, e);
	to_front(c, e);
	return e->len;
}

void cache_put(struct cache *c, const struct cache_question *q, int64_t now_ns, const uint8_t *answer, size_t len)
{
	struct dns_message m;
	struct key k;
	if (len > CACHE_ANSWER_MAX || dns_parse(answer, len, &m) < 0 || !dns_name_eq(&m.name, &q->m->name) ||
	    m.question_end != DNS_HEADER_SIZE + m.name.len + 4u || !make_key(q, &k))
		return;
	struct cache_entry *e = find(c, &k);
	if (e)
		drop(c, e);
	uint32_t ttl = ttl_of(answer, len, &m);
	e = ttl ? malloc(sizeof(*e) + k.len + len) : NULL;
	if (!e)
		return;
	*e = (struct cache_entry){ .hash = k.hash, .at_ns = now_ns, .ttl_s = ttl, .key_len = (uint16_t)k.len, .len = (uint16_t)len };
	memcpy(e->data, k.bytes, k.len);
	memcpy(e->data + k.len, answer, len);
	struct cache_entry **bucket = bucket_of(c, k.hash);
	e->in_bucket = *bucket;
	*bucket = e;
	to_front(c, e);
	c->entries_n++;
	c->bytes += sizeof(*e) + e->key_len + e->len;
	while (c->entries_n > CACHE_ENTRIES_MAX || c->bytes > CACHE_BYTES_MAX)
		drop(c, c->last);
}
