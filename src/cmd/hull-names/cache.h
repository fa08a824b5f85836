/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of others, for as long as they said (RFC 1035, 7.4; of absences RFC 2308).
 *
 * What is kept is the whole answer to one question put to one list of resolvers: no
 * record of it ever answers another question, and whoever has resolvers of its own
 * (--dns) shares nothing with those who have the host's. A question is the same when
 * it is so to the bit, but for its id and the case of its letters. Bounded; the
 * longest unused goes first. */
#pragma once

#include "dns.h"
#include "resolvers.h"

#define CACHE_ENTRIES_MAX 2048
#define CACHE_BYTES_MAX (2u << 20)
/* Longer answers are not kept, nor any for longer than this. */
#define CACHE_ANSWER_MAX 4096
#define CACHE_TTL_MAX_S 3600
#define CACHE_ABSENCE_TTL_MAX_S 900

struct cache_entry;

struct cache {
	struct cache_entry *buckets[1024];
	struct cache_entry *first, *last; /* the last used first */
	size_t entries_n, bytes;
};

struct cache_question {
	const struct resolvers *resolvers;
	const uint8_t *query;
	size_t len;
	const struct dns_message *m; /* of the query */
};

/* The answer to @q, in its letters, with its id and times to live of now: its length,
 * 0 when there is none. @out has CACHE_ANSWER_MAX. */
size_t cache_find(struct cache *c, const struct cache_question *q, int64_t now_ns, uint8_t *out);
/* Keep @answer, unless it is of a kind that is not kept. */
void cache_put(struct cache *c, const struct cache_question *q, int64_t now_ns, const uint8_t *answer, size_t len);
void cache_done(struct cache *c);
