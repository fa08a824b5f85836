/* SPDX-License-Identifier: Apache-2.0 */
/* What is answered from the directory, and what others are asked. */
#pragma once

#include "directory.h"
#include "dns.h"

/* Names come and go with containers: nobody is to remember them for long. */
#define LOCAL_TTL 5

enum verdict {
	VERDICT_SILENCE, /* not a question */
	VERDICT_ANSWER,
	VERDICT_FORWARD,
};

/* @query as @c asks it; *m is what it says. The answer goes to @out, at most
 * @max (at least DNS_UDP_MIN) bytes, its length to *ret_len. */
enum verdict answer_make(struct directory *d, const struct container *c, const uint8_t *query, size_t len,
			 struct dns_message *m, uint8_t *out, size_t max, size_t *ret_len);
