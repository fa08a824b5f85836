/* SPDX-License-Identifier: Apache-2.0 */
#include "dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63
#define POINTER 0xc0u
/* Records that are looked at before EDNS is given up on: a query has one or two. */
#define RECORDS_MAX 64
#define CHAIN_MAX 16
#define OPT_SIZE 11
/* How much this side takes by UDP (the figure of DNS flag day 2020). */
#define EDNS_SIZE 1232

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)dns_get16(p) << 16 | dns_get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	dns_put16(p, (uint16_t)(v >> 16));
	dns_put16(p + 2, (uint16_t)v);
}

/* ---- names ---- */

int dns_name_parse(const char *text, struct dns_name *ret)
{
	ret->len = 0;
	size_t at = 0;
	if (text[0] == '.' && !text[1])
		text++;
	while (*text) {
		size_t n = strcspn(text, ".");
		if (n == 0 || n > LABEL_MAX || at + 1 + n + 1 > DNS_NAME_MAX)
			return -EINVAL;
		ret->wire[at++] = (uint8_t)n;
		for (size_t i = 0; i < n; i++)
			ret->wire[at++] = lower((uint8_t)text[i]);
		text += n + (text[n] == '.');
	}
	ret->wire[at++] = 0;
	ret->len = (uint8_t)at;
	return 0;
}

const char *dns_name_format(const struct dns_name *name, char out[DNS_TEXT_SIZE])
{
	size_t o = 0;
	for (size_t at = 0; at < name->len && name->wire[at]; at += 1u + name->wire[at]) {
		if (o)
			out[o++] = '.';
		for (size_t i = 1; i <= name->wire[at]; i++) {
			uint8_t c = name->wire[at + i];
			if (c > ' ' && c < 0x7f && c != '.' && c != '\\')
				out[o++] = (char)c;
			else
				o += (size_t)snprintf(out + o, 5, "\\%03u", c);
		}
	}
	if (o == 0)
		out[o++] = '.';
	out[o] = '\0';
	return out;
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

unsigned dns_name_labels(const struct dns_name *name)
{
	unsigned n = 0;
	for (size_t at = 0; at < name->len && name->wire[at]; at += 1u + name->wire[at])
		n++;
	return n;
}

int dns_name_below(const struct dns_name *name, const struct dns_name *suffix)
{
	for (size_t at = 0; at < name->len; at += 1u + name->wire[at]) {
		if (name->len - at == suffix->len)
			return memcmp(name->wire + at, suffix->wire, suffix->len) == 0 ? (int)at : -1;
		if (!name->wire[at])
			break;
	}
	return -1;
}

/* "12" without leading zeros, up to 255. */
static int octet(const uint8_t *label)
{
	unsigned v = 0, n = label[0];
	if (n == 0 || n > 3 || (n > 1 && label[1] == '0'))
		return -1;
	for (unsigned i = 1; i <= n; i++) {
		if (label[i] < '0' || label[i] > '9')
			return -1;
		v = v * 10 + (label[i] - '0');
	}
	return v > 255 ? -1 : (int)v;
}

static int nibble(const uint8_t *label)
{
	uint8_t c = label[1];
	if (label[0] != 1)
		return -1;
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t dns_name_to_address(const struct dns_name *name, uint8_t ret[16])
{
	static const struct dns_name in4 = { 14, "\7in-addr\4arpa" }, in6 = { 10, "\3ip6\4arpa" };
	unsigned labels = dns_name_labels(name);
	size_t at = 0;
	if (labels == 6 && dns_name_below(name, &in4) > 0) {
		for (int i = 3; i >= 0; i--, at += 1u + name->wire[at]) {
			int v = octet(name->wire + at);
			if (v < 0)
				return 0;
			ret[i] = (uint8_t)v;
		}
		return 4;
	}
	if (labels == 34 && dns_name_below(name, &in6) > 0) {
		for (int i = 31; i >= 0; i--, at += 1u + name->wire[at]) {
			int v = nibble(name->wire + at);
			if (v < 0)
				return 0;
			if (i & 1)
				ret[i / 2] = (uint8_t)v;
			else
				ret[i / 2] |= (uint8_t)(v << 4);
		}
		return 16;
	}
	return 0;
}

/* ---- reading ---- */

int dns_read_name(const uint8_t *data, size_t len, size_t *at, struct dns_name *ret)
{
	size_t pos = *at, end = 0, out = 0, limit = len;
	ret->len = 0;
	for (;;) {
		if (pos >= limit)
			return -EINVAL;
		uint8_t n = data[pos];
		if ((n & POINTER) == POINTER) {
			if (pos + 1 >= len)
				return -EINVAL;
			size_t target = (size_t)(n & ~POINTER) << 8 | data[pos + 1];
			if (!end)
				end = pos + 2;
			/* Strictly before this pointer, and the next one before that: no loop. */
			if (target >= pos || target < DNS_HEADER_SIZE)
				return -EINVAL;
			limit = pos;
			pos = target;
			continue;
		}
		if (n > LABEL_MAX || pos + 1 + n > limit || out + 1u + n + (n ? 1u : 0u) > DNS_NAME_MAX)
			return -EINVAL;
		ret->wire[out++] = n;
		for (size_t i = 1; i <= n; i++)
			ret->wire[out++] = lower(data[pos + i]);
		pos += 1u + n;
		if (n == 0)
			break;
	}
	*at = end ? end : pos;
	ret->len = (uint8_t)out;
	return 0;
}

int dns_next_record(const uint8_t *data, size_t len, size_t *at, struct dns_record *ret)
{
	size_t pos = *at;
	if (dns_read_name(data, len, &pos, &ret->name) < 0 || pos + 10 > len)
		return -EINVAL;
	ret->type = dns_get16(data + pos);
	ret->class = dns_get16(data + pos + 2);
	ret->ttl = get32(data + pos + 4);
	ret->data_len = dns_get16(data + pos + 8);
	ret->data_at = pos + 10;
	if (ret->data_len > len - ret->data_at)
		return -EINVAL;
	*at = ret->data_at + ret->data_len;
	return 0;
}

/* The OPT record is among the last; all before it are gone over. */
static int find_edns(const uint8_t *data, size_t len, struct dns_message *m)
{
	unsigned records = (unsigned)m->answers + m->authorities + m->additionals;
	unsigned first = (unsigned)m->answers + m->authorities;
	size_t at = m->question_end;
	for (unsigned i = 0; i < records && i < RECORDS_MAX; i++) {
		struct dns_record r;
		if (dns_next_record(data, len, &at, &r) < 0)
			return -EINVAL;
		if (r.type != DNS_OPT || i < first)
			continue;
		if (m->has_edns || r.name.len != 1)
			return -EINVAL; /* RFC 6891, 6.1.1 */
		m->has_edns = true;
		if (r.class > DNS_UDP_MIN)
			m->udp_size = r.class;
	}
	return 0;
}

int dns_parse(const uint8_t *data, size_t len, struct dns_message *ret)
{
	*ret = (struct dns_message){ .udp_size = DNS_UDP_MIN };
	if (len < DNS_HEADER_SIZE)
		return -EBADMSG;
	ret->id = dns_get16(data);
	ret->flags = dns_get16(data + 2);
	ret->questions = dns_get16(data + 4);
	ret->answers = dns_get16(data + 6);
	ret->authorities = dns_get16(data + 8);
	ret->additionals = dns_get16(data + 10);
	if (ret->questions == 0)
		return 0;
	size_t at = DNS_HEADER_SIZE;
	int r = dns_read_name(data, len, &at, &ret->name);
	if (r == 0 && at + 4 > len)
		r = -EINVAL;
	if (r < 0 || ret->questions > 1) {
		ret->name.len = 0;
		return -EINVAL;
	}
	ret->type = dns_get16(data + at);
	ret->class = dns_get16(data + at + 2);
	ret->question_end = at + 4;
	return find_edns(data, len, ret);
}

int dns_visit_addresses(const uint8_t *data, size_t len, const struct dns_message *m,
			void (*visit)(void *ctx, const uint8_t *address, size_t address_len, uint32_t ttl), void *ctx)
{
	struct dns_name wanted = m->name;
	struct dns_record r;
	/* Each turn follows one CNAME; servers send chains in order, but need not. */
	for (int hop = 0; hop < CHAIN_MAX; hop++) {
		struct dns_name next = { 0 };
		size_t at = m->question_end;
		for (unsigned i = 0; i < m->answers; i++) {
			if (dns_next_record(data, len, &at, &r) < 0)
				return -EINVAL;
			if (r.class != DNS_CLASS_IN || !dns_name_eq(&r.name, &wanted))
				continue;
			size_t name_at = r.data_at;
			if (r.type == DNS_CNAME && dns_read_name(data, len, &name_at, &next) < 0)
				return -EINVAL;
			if ((r.type == DNS_A && r.data_len == 4) || (r.type == DNS_AAAA && r.data_len == 16))
				visit(ctx, data + r.data_at, r.data_len, r.ttl);
		}
		if (!next.len)
			break;
		wanted = next;
	}
	return 0;
}

/* ---- writing ---- */

void dns_write_begin(struct dns_writer *w, uint8_t *data, size_t max, const uint8_t *query, const struct dns_message *m)
{
	*w = (struct dns_writer){ .data = data, .len = DNS_HEADER_SIZE, .max = max };
	/* Room for the OPT record that dns_write_end() adds. */
	if (m->has_edns)
		w->max -= OPT_SIZE;
	memset(data, 0, DNS_HEADER_SIZE);
	dns_put16(data, m->id);
	/* A question whose name is compressed (onto what? it comes first) is not
	 * copied, nor is one that was not understood. */
	size_t len = m->name.len + 4u;
	if (m->name.len && m->question_end == DNS_HEADER_SIZE + len) {
		memcpy(data + DNS_HEADER_SIZE, query + DNS_HEADER_SIZE, len);
		w->len += len;
		w->has_question = true;
		dns_put16(data + 4, 1);
	}
}

/* A record of the name asked for, up to its data. NULL: it does not fit. */
static uint8_t *put_record(struct dns_writer *w, uint16_t type, uint32_t ttl, size_t data_len)
{
	if (w->is_cut || !w->has_question || w->max - w->len < 12 + data_len) {
		w->is_cut = true;
		return NULL;
	}
	uint8_t *p = w->data + w->len;
	dns_put16(p, (uint16_t)(POINTER << 8 | DNS_HEADER_SIZE));
	dns_put16(p + 2, type);
	dns_put16(p + 4, DNS_CLASS_IN);
	put32(p + 6, ttl);
	dns_put16(p + 10, (uint16_t)data_len);
	w->len += 12 + data_len;
	return p + 12;
}

void dns_write_address(struct dns_writer *w, const uint8_t *address, size_t len, uint32_t ttl)
{
	uint8_t *p = put_record(w, len == 4 ? DNS_A : DNS_AAAA, ttl, len);
	if (!p)
		return;
	memcpy(p, address, len);
	w->answers++;
}

void dns_write_pointer(struct dns_writer *w, const struct dns_name *target, uint32_t ttl)
{
	uint8_t *p = put_record(w, DNS_PTR, ttl, target->len);
	if (!p)
		return;
	memcpy(p, target->wire, target->len);
	w->answers++;
}

void dns_write_absence(struct dns_writer *w, uint32_t ttl)
{
	/* Two names of the root, serial, refresh, retry, expire, minimum. */
	uint8_t *p = w->is_cut ? NULL : put_record(w, DNS_SOA, ttl, 22);
	if (!p)
		return;
	memset(p, 0, 22);
	put32(p + 2, 1);
	put32(p + 6, ttl);
	put32(p + 10, ttl);
	put32(p + 14, ttl);
	put32(p + 18, ttl);
	w->authorities++;
}

size_t dns_write_end(struct dns_writer *w, const struct dns_message *m, enum dns_rcode rcode, uint16_t flags)
{
	flags |= DNS_FLAG_QR | DNS_FLAG_RA | (m->flags & (DNS_FLAG_RD | DNS_FLAG_CD | 0x7800u)) | rcode;
	if (w->is_cut)
		flags |= DNS_FLAG_TC;
	if (m->has_edns) {
		uint8_t *p = w->data + w->len;
		memset(p, 0, OPT_SIZE);
		dns_put16(p + 1, DNS_OPT);
		dns_put16(p + 3, EDNS_SIZE);
		w->len += OPT_SIZE;
		w->additionals++;
	}
	dns_put16(w->data + 2, flags);
	dns_put16(w->data + 6, w->answers);
	dns_put16(w->data + 8, w->authorities);
	dns_put16(w->data + 10, w->additionals);
	return w->len;
}

size_t dns_write_bare(uint8_t *data, size_t max, const uint8_t *query, const struct dns_message *m, enum dns_rcode rcode,
		      uint16_t flags)
{
	struct dns_writer w;
	dns_write_begin(&w, data, max, query, m);
	return dns_write_end(&w, m, rcode, flags);
}
