/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <errno.h>

#define OPCODE_QUERY 0
/* RFC 1035 and 1995: whole zones, of which there are none. */
#define TYPE_IXFR 251
#define TYPE_AXFR 252

static size_t put_found(const struct found *found, const uint8_t *query, const struct dns_message *m, size_t len, uint8_t *out,
			size_t max)
{
	struct dns_writer w;
	dns_write_begin(&w, out, max, query, m);
	for (size_t i = 0; i < found->n; i++)
		dns_write_address(&w, found->address[i], len, LOCAL_TTL);
	/* It exists, but has none of these: so nobody else is asked. */
	if (found->n == 0)
		dns_write_absence(&w, LOCAL_TTL);
	return dns_write_end(&w, m, DNS_NOERROR, DNS_FLAG_AA);
}

static bool answer_name(struct directory *d, const struct container *c, const uint8_t *query, const struct dns_message *m,
			uint8_t *out, size_t max, size_t *ret_len)
{
	struct found found;
	size_t len = m->type == DNS_AAAA ? 16 : 4;
	directory_find(d, c, &m->name, len, &found);
	if (!found.is_known)
		return false;
	if (m->type != DNS_A && m->type != DNS_AAAA && m->type != DNS_ANY)
		found.n = 0;
	*ret_len = put_found(&found, query, m, len, out, max);
	return true;
}

static bool answer_address(struct directory *d, const struct container *c, const uint8_t *query, const struct dns_message *m,
			   uint8_t *out, size_t max, size_t *ret_len)
{
	uint8_t address[16];
	struct dns_name name;
	struct dns_writer w;
	size_t len = dns_name_to_address(&m->name, address);
	if (len == 0)
		return false;
	bool is_found = directory_find_address(d, c, address, len, &name);
	if (!is_found && !directory_covers(c, address, len))
		return false;
	dns_write_begin(&w, out, max, query, m);
	if (is_found && (m->type == DNS_PTR || m->type == DNS_ANY))
		dns_write_pointer(&w, &name, LOCAL_TTL);
	else
		dns_write_absence(&w, LOCAL_TTL);
	*ret_len = dns_write_end(&w, m, is_found ? DNS_NOERROR : DNS_NXDOMAIN, DNS_FLAG_AA);
	return true;
}

enum verdict answer_make(struct directory *d, const struct container *c, const uint8_t *query, size_t len,
			 struct dns_message *m, uint8_t *out, size_t max, size_t *ret_len)
{
	int r = dns_parse(query, len, m);
	if (r == -EBADMSG || m->flags & DNS_FLAG_QR)
		return VERDICT_SILENCE;
	enum dns_rcode refusal = DNS_NOERROR;
	if (dns_opcode(m) != OPCODE_QUERY)
		refusal = DNS_NOTIMP;
	else if (r < 0 || m->questions != 1 || m->answers)
		refusal = DNS_FORMERR;
	else if (m->class != DNS_CLASS_IN || m->type == TYPE_AXFR || m->type == TYPE_IXFR)
		refusal = DNS_REFUSED;
	else if (!c->has_record)
		refusal = DNS_SERVFAIL;
	if (refusal) {
		*ret_len = dns_write_bare(out, max, query, m, refusal, 0);
		return VERDICT_ANSWER;
	}
	if (answer_name(d, c, query, m, out, max, ret_len) || answer_address(d, c, query, m, out, max, ret_len))
		return VERDICT_ANSWER;
	/* A question is a way out, too. */
	if (c->record.is_restricted && !directory_has_egress(c, &m->name)) {
		*ret_len = dns_write_bare(out, max, query, m, DNS_NXDOMAIN, 0);
		return VERDICT_ANSWER;
	}
	/* As Docker: with ndots chosen, the client goes on to its search domains. */
	if (c->record.has_ndots && (m->type == DNS_A || m->type == DNS_AAAA) && dns_name_labels(&m->name) == 1) {
		*ret_len = dns_write_bare(out, max, query, m, DNS_NOERROR, 0);
		return VERDICT_ANSWER;
	}
	return VERDICT_FORWARD;
}
