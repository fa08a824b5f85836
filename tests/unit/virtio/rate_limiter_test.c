/* SPDX-License-Identifier: Apache-2.0 */
#include "rate_limiter.h"

#include "test.h"

#define SECOND INT64_C(1000000000)

/* Take operations of @bytes as fast as allowed for @seconds; returns how many. */
static uint64_t run(struct rate_limiter *rl, uint64_t bytes, int64_t seconds)
{
	int64_t now = 1000, end = now + seconds * SECOND, wait;
	uint64_t n = 0;
	for (;;) {
		while ((wait = rate_limiter_wait_ns(rl, now)) > 0) {
			now += wait;
			if (now > end)
				return n;
			/* It said how long: then it lets one through. */
			CHECK_EQ(rate_limiter_wait_ns(rl, now), 0);
		}
		rate_limiter_charge(rl, bytes);
		n++;
	}
}

TEST(rates_are_exact)
{
	static const uint64_t rates[] = { 1, 3, 1000, 1000003, UINT64_C(10) << 30 };
	static const uint64_t sizes[] = { 1, 512, 1000000 };
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned k = 0; k < 3; k++) {
			if (rates[i] / sizes[k] > 100000)
				continue;
			struct rate_limiter rl;
			struct rate_limits limits = { .bytes_per_s = rates[i], .burst_bytes = 10 };
			rate_limiter_init(&rl, &limits, 1000);
			uint64_t bytes = run(&rl, sizes[k], 20) * sizes[k];
			uint64_t fair = 10 + rates[i] * 20;
			/* Off by one operation at most. */
			CHECK(bytes <= fair + sizes[k] && bytes + sizes[k] >= fair);
		}
	}
}

TEST(ops_and_bytes)
{
	struct rate_limiter rl;
	struct rate_limits limits = { .bytes_per_s = 1000, .ops_per_s = 10 };
	rate_limiter_init(&rl, &limits, 1000);
	CHECK_EQ(run(&rl, 1, 10), 10 + 100); /* ops are scarcer */
	rate_limiter_init(&rl, &limits, 1000);
	uint64_t n = run(&rl, 500, 10);
	CHECK(n >= 21 && n <= 23); /* bytes are */
}

TEST(no_limit)
{
	struct rate_limiter rl;
	rate_limiter_init(&rl, NULL, 1000);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(rate_limiter_wait_ns(&rl, 1000), 0);
		rate_limiter_charge(&rl, UINT64_MAX);
	}
	CHECK(rate_limiter_bytes(&rl, 1000) == UINT64_MAX);
}

/* Nothing overflows, and time that stands still or goes back makes no tokens. */
TEST(extremes)
{
	static const uint64_t values[] = { 1, 2, UINT32_MAX, INT64_MAX, UINT64_MAX };
	static const int64_t times[] = { 0, 1, SECOND, INT64_MAX / 2, INT64_MAX };
	for (unsigned r = 0; r < 5; r++) {
		for (unsigned b = 0; b < 5; b++) {
			struct rate_limiter rl;
			struct rate_limits limits = { .bytes_per_s = values[r], .burst_bytes = values[b],
						      .ops_per_s = values[b], .burst_ops = values[r] };
			rate_limiter_init(&rl, &limits, 0);
			for (unsigned t = 0; t < 5; t++) {
				for (unsigned c = 0; c < 5; c++) {
					int64_t wait = rate_limiter_wait_ns(&rl, times[t]);
					CHECK(wait >= 0);
					CHECK(wait > 0 || rate_limiter_bytes(&rl, times[t]) > 0);
					rate_limiter_charge(&rl, values[c]);
				}
			}
		}
	}
	struct rate_limiter rl;
	struct rate_limits limits = { .bytes_per_s = 1000, .burst_bytes = 10 };
	rate_limiter_init(&rl, &limits, 5 * SECOND);
	rate_limiter_charge(&rl, 10);
	int64_t wait = rate_limiter_wait_ns(&rl, 5 * SECOND);
	CHECK_EQ(wait, SECOND / 1000);
	CHECK_EQ(rate_limiter_wait_ns(&rl, SECOND), wait);
}

TEST_MAIN()
