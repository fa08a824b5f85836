/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages (RFC 1035, RFC 6891), as much as a forwarder that answers some
 * names itself needs: one question in, addresses and host names out.
 *
 * Nothing is allocated and nothing is trusted: compression pointers only lead
 * backwards and a name ends at 255 bytes, so every walk ends. Names are kept as
 * on the wire (length bytes, root label at the end) with ASCII letters lowered,
 * so that equal names are equal bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define DNS_NAME_MAX 255
#define DNS_HEADER_SIZE 12
/* What fits in UDP where nobody said more (RFC 1035, 4.2.1). */
#define DNS_UDP_MIN 512

enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_ANY = 255,
};
#define DNS_CLASS_IN 1

enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };

#define DNS_FLAG_QR 0x8000u
#define DNS_FLAG_AA 0x0400u
#define DNS_FLAG_TC 0x0200u
#define DNS_FLAG_RD 0x0100u
#define DNS_FLAG_RA 0x0080u
#define DNS_FLAG_CD 0x0010u

struct dns_name {
	uint8_t len; /* with the root label; 0: none */
	uint8_t wire[DNS_NAME_MAX];
};

/* "web.example." or without the last dot; "" and "." are the root. Bytes other
 * than dots stand for themselves. -EINVAL. */
int dns_name_parse(const char *text, struct dns_name *ret) MUST_CHECK;
/* Without the last dot (the root is "."); what is not printable as "\ddd". */
#define DNS_TEXT_SIZE 1024
const char *dns_name_format(const struct dns_name *name, char out[DNS_TEXT_SIZE]);
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
/* Labels without the root's. */
unsigned dns_name_labels(const struct dns_name *name);
/* @suffix is @name or above it: how many bytes of @name come before it, or -1. */
int dns_name_below(const struct dns_name *name, const struct dns_name *suffix);
/* The address that "4.3.2.1.in-addr.arpa" or a name below ip6.arpa stands for:
 * its length (4, 16), or 0 when it stands for none. */
size_t dns_name_to_address(const struct dns_name *name, uint8_t ret[16]);

struct dns_message {
	uint16_t id, flags;
	uint16_t questions, answers, authorities, additionals;
	/* The first question. */
	struct dns_name name;
	uint16_t type, class;
	size_t question_end; /* offset after it */
	/* From EDNS, if there is an OPT record. */
	bool has_edns;
	uint16_t udp_size; /* what the sender takes by UDP; at least DNS_UDP_MIN */
};

static inline uint8_t dns_rcode(const struct dns_message *m)
{
	return m->flags & 0xf;
}
static inline uint8_t dns_opcode(const struct dns_message *m)
{
	return m->flags >> 11 & 0xf;
}

/* The header, the question and EDNS. 0; -EBADMSG when not even the header is
 * there (say nothing to that); -EINVAL when what follows is malformed (the
 * header is filled in: answer FORMERR). */
int dns_parse(const uint8_t *data, size_t len, struct dns_message *ret) MUST_CHECK;

struct dns_record {
	struct dns_name name;
	uint16_t type, class;
	uint32_t ttl;
	size_t data_at, data_len; /* offsets into the message */
};
/* The record at *@at, which moves behind it. 0 or -EINVAL. */
int dns_next_record(const uint8_t *data, size_t len, size_t *at, struct dns_record *ret) MUST_CHECK;
/* The name at *@at, which moves behind it. 0 or -EINVAL. */
int dns_read_name(const uint8_t *data, size_t len, size_t *at, struct dns_name *ret) MUST_CHECK;

/* The addresses that an answer gives for its question, over at most 16 CNAMEs:
 * for each, @visit with its length (4 or 16) and time to live. Records of other
 * names, which nobody asked for, are left out. 0 or -EINVAL. */
int dns_visit_addresses(const uint8_t *data, size_t len, const struct dns_message *m,
			void (*visit)(void *ctx, const uint8_t *address, size_t address_len, uint32_t ttl), void *ctx) MUST_CHECK;

/* ---- writing an answer ---- */

struct dns_writer {
	uint8_t *data;
	size_t len, max;
	uint16_t flags;
	uint16_t answers, authorities, additionals;
	bool is_cut; /* a record did not fit */
	bool has_question;
};
/* Answer @query (@m is what dns_parse() made of it): its id, its question in its
 * own letters. At most @max bytes into @data; @max is at least DNS_UDP_MIN. */
void dns_write_begin(struct dns_writer *w, uint8_t *data, size_t max, const uint8_t *query, const struct dns_message *m);
/* Records about the name asked for. One that does not fit sets TC instead. */
void dns_write_address(struct dns_writer *w, const uint8_t *address, size_t len, uint32_t ttl);
void dns_write_pointer(struct dns_writer *w, const struct dns_name *target, uint32_t ttl);
/* Into the authority section: how long the absence may be remembered (RFC 2308). */
void dns_write_absence(struct dns_writer *w, uint32_t ttl);
/* The length of the answer. @m as above: EDNS is answered with EDNS. */
size_t dns_write_end(struct dns_writer *w, const struct dns_message *m, enum dns_rcode rcode, uint16_t flags);
/* Nothing but the question and @rcode, or @flags (TC) in its place. */
size_t dns_write_bare(uint8_t *data, size_t max, const uint8_t *query, const struct dns_message *m, enum dns_rcode rcode,
		      uint16_t flags);

static inline uint16_t dns_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static inline void dns_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
