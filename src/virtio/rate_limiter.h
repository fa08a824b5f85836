/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets for bytes and operations.
 *
 * A bucket may go into debt: what is asked for is let through as long as the
 * bucket is not empty, whatever its size, and the next one waits until the debt
 * is paid. So requests larger than the bucket pass, none waits for ever, and over
 * time the rate is exact. No clock is read here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
	uint64_t rate;    /* tokens a second; 0: no limit */
	uint64_t burst;   /* the most that is saved up */
	int64_t balance;
	int64_t last_ns;  /* up to where time has been turned into tokens */
};

struct rate_limits {
	uint64_t bytes_per_s; /* 0: no limit */
	uint64_t burst_bytes; /* 0: a second's worth */
	uint64_t ops_per_s;
	uint64_t burst_ops;
};

struct rate_limiter {
	struct token_bucket bytes;
	struct token_bucket ops;
};

void rate_limiter_init(struct rate_limiter *rl, const struct rate_limits *limits, int64_t now_ns);
/* 0: one operation may go now; otherwise the nanoseconds until then (at least 1). */
int64_t rate_limiter_wait_ns(struct rate_limiter *rl, int64_t now_ns);
/* It went. */
void rate_limiter_charge(struct rate_limiter *rl, uint64_t bytes);
/* How many bytes may go now: UINT64_MAX without a limit, 0 in debt. */
uint64_t rate_limiter_bytes(struct rate_limiter *rl, int64_t now_ns);
