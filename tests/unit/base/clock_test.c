/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "test.h"

TEST(as_go_prints_times)
{
	char text[CLOCK_GO_SIZE];
	int64_t v;
	CHECK_EQ(clock_parse_rfc3339("2026-11-23T19:05:01Z", &v), 0);
	CHECK_EQ(setenv("TZ", "UTC", 1), 0);
	tzset();
	CHECK_STR(clock_format_go(v, text), "2026-11-23 19:05:01 +0000 UTC");
	CHECK_STR(clock_format_go(v + 120000000, text), "2026-11-23 19:05:01.12 +0000 UTC");
	CHECK_STR(clock_format_go(0, text), "0001-01-01 00:00:00 +0000 UTC");
	CHECK_EQ(setenv("TZ", "XYZ-5:30", 1), 0);
	tzset();
	CHECK_STR(clock_format_go(v, text), "2026-11-24 00:35:01 +0530 XYZ");
}

TEST(rfc3339_both_ways)
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t v;
	CHECK_EQ(clock_parse_rfc3339("2026-11-23T19:05:01.5Z", &v), 0);
	CHECK_STR(clock_format_rfc3339(v, text), "2026-11-23T19:05:01.5Z");
	int64_t with_offset;
	CHECK_EQ(clock_parse_rfc3339("2026-11-23T21:05:01.5+02:00", &with_offset), 0);
	CHECK_EQ(v, with_offset);
	CHECK_STR(clock_format_rfc3339(0, text), "0001-01-01T00:00:00Z");
	CHECK_EQ(clock_parse_rfc3339("2026-11-23T19:05:01.5Zx", &v), -EINVAL);
	CHECK_EQ(clock_parse_rfc3339("2026-13-23T19:05:01Z", &v), -EINVAL);
}

TEST(since_takes_what_docker_takes)
{
	int64_t v;
	CHECK_EQ(clock_parse_since("10m", 1000000000000LL, &v), 0);
	CHECK_EQ(v, 400000000000LL);
	CHECK_EQ(clock_parse_since("1136073600.000000001", 0, &v), 0);
	CHECK_EQ(v, 1136073600000000001LL);
	CHECK_EQ(clock_parse_since("yesterday", 0, &v), -EINVAL);
}

TEST(durations_in_docker_s_words)
{
	char text[32];
	CHECK_STR(clock_human_duration(500000000LL, text), "Less than a second");
	CHECK_STR(clock_human_duration(90 * 1000000000LL, text), "About a minute");
	CHECK_STR(clock_human_duration(7200 * 1000000000LL, text), "2 hours");
}

TEST_MAIN()
