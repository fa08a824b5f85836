/* SPDX-License-Identifier: Apache-2.0 */
#include "rate_limiter.h"

#define SECOND_NS INT64_C(1000000000)
/* Sums of two stay far from the ends of int64_t. */
#define TOKENS_MAX ((uint64_t)INT64_MAX / 4)

static void bucket_init(struct token_bucket *b, uint64_t rate, uint64_t burst, int64_t now_ns)
{
	if (burst == 0)
		burst = rate;
	if (burst > TOKENS_MAX)
		burst = TOKENS_MAX;
	*b = (struct token_bucket){ .rate = rate, .burst = burst, .balance = (int64_t)burst, .last_ns = now_ns };
}

static void refill(struct token_bucket *b, int64_t now_ns)
{
	if (now_ns <= b->last_ns)
		return;
	unsigned __int128 elapsed = (unsigned __int128)(now_ns - b->last_ns);
	unsigned __int128 tokens = elapsed * b->rate / SECOND_NS;
	uint64_t room = (uint64_t)((int64_t)b->burst - b->balance);
	if (tokens >= room) {
		b->balance = (int64_t)b->burst;
		b->last_ns = now_ns;
		return;
	}
	b->balance += (int64_t)tokens;
	/* Only the time that made whole tokens is spent. */
	b->last_ns += (int64_t)(tokens * SECOND_NS / b->rate);
}

static int64_t bucket_wait_ns(struct token_bucket *b, int64_t now_ns)
{
	if (b->rate == 0)
		return 0;
	refill(b, now_ns);
	if (b->balance > 0)
		return 0;
	unsigned __int128 missing = (unsigned __int128)(1 - b->balance);
	unsigned __int128 ns = (missing * SECOND_NS + b->rate - 1) / b->rate;
	return ns > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)ns;
}

static void bucket_charge(struct token_bucket *b, uint64_t tokens)
{
	if (b->rate == 0)
		return;
	if (tokens > TOKENS_MAX)
		tokens = TOKENS_MAX;
	/* A debt that large is never reached by honest use. */
	if (b->balance > -(int64_t)TOKENS_MAX)
		b->balance -= (int64_t)tokens;
}

void rate_limiter_init(struct rate_limiter *rl, const struct rate_limits *limits, int64_t now_ns)
{
	bucket_init(&rl->bytes, limits ? limits->bytes_per_s : 0, limits ? limits->burst_bytes : 0, now_ns);
	bucket_init(&rl->ops, limits ? limits->ops_per_s : 0, limits ? limits->burst_ops : 0, now_ns);
}

int64_t rate_limiter_wait_ns(struct rate_limiter *rl, int64_t now_ns)
{
	int64_t bytes_ns = bucket_wait_ns(&rl->bytes, now_ns);
	int64_t ops_ns = bucket_wait_ns(&rl->ops, now_ns);
	return bytes_ns > ops_ns ? bytes_ns : ops_ns;
}

void rate_limiter_charge(struct rate_limiter *rl, uint64_t bytes)
{
	bucket_charge(&rl->bytes, bytes);
	bucket_charge(&rl->ops, 1);
}

uint64_t rate_limiter_bytes(struct rate_limiter *rl, int64_t now_ns)
{
	if (rl->bytes.rate == 0)
		return UINT64_MAX;
	refill(&rl->bytes, now_ns);
	return rl->bytes.balance > 0 ? (uint64_t)rl->bytes.balance : 0;
}
