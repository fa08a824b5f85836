/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <errno.h>

#include "test.h"

TEST(numbers_are_strict)
{
	uint64_t v = 7;
	CHECK_EQ(str_parse_u64("18446744073709551615", &v), 0);
	CHECK(v == UINT64_MAX);
	CHECK_EQ(str_parse_u64("18446744073709551616", &v), -ERANGE);
	for (const char *const *s = (const char *const[]){ "", "+1", "-1", " 1", "1 ", "0x1", "1e3", NULL }; *s; s++)
		CHECK_EQ(str_parse_u64(*s, &v), -EINVAL);
	int64_t i;
	CHECK_EQ(str_parse_i64("-12", &i), 0);
	CHECK_EQ(i, -12);
}

TEST(sizes_are_docker_s)
{
	int64_t v;
	CHECK_EQ(str_parse_size_bytes("64k", &v), 0);
	CHECK_EQ(v, 65536);
	CHECK_EQ(str_parse_size_bytes("1.5GiB", &v), 0);
	CHECK_EQ(v, 1610612736);
	CHECK_EQ(str_parse_size_bytes("2gb", &v), 0);
	CHECK_EQ(v, 2147483648LL);
	CHECK_EQ(str_parse_size_bytes("12x", &v), -EINVAL);
	CHECK_EQ(str_parse_size_bytes("m", &v), -EINVAL);
	CHECK_EQ(str_parse_size_bytes("99999999999999p", &v), -ERANGE);
}

TEST(durations_are_go_s)
{
	int64_t v;
	CHECK_EQ(str_parse_duration_ns("1h2m3.5s", &v), 0);
	CHECK_EQ(v, 3723500000000LL);
	CHECK_EQ(str_parse_duration_ns("300ms", &v), 0);
	CHECK_EQ(v, 300000000);
	CHECK_EQ(str_parse_duration_ns("5", &v), -EINVAL);
	CHECK_EQ(str_parse_duration_ns("0", &v), 0);
	CHECK_EQ(v, 0);
}

TEST(base64_both_ways)
{
	for (size_t len = 0; len < 40; len++) {
		uint8_t data[40], *back = NULL;
		size_t back_len;
		for (size_t i = 0; i < len; i++)
			data[i] = (uint8_t)(i * 37 + len);
		CLEANUP_FREE char *text = str_base64(data, len);
		CHECK_EQ(str_unbase64(text, &back, &back_len), 0);
		CHECK_EQ(back_len, len);
		CHECK(memcmp(back, data, len) == 0);
		free(back);
	}
	uint8_t *back;
	size_t n;
	CHECK_EQ(str_unbase64("a", &back, &n), -EINVAL);
	CHECK_EQ(str_unbase64("ab*d", &back, &n), -EINVAL);
}

TEST(nearest_suggests_only_the_near)
{
	const char *const list[] = { "--memory", "--mount", "--name", NULL };
	CHECK_STR(str_nearest("--memroy", list), "--memory");
	CHECK(str_nearest("--zzzzzz", list) == NULL);
}

TEST(strv_split_and_join)
{
	CLEANUP_STRV struct strv sv = { 0 };
	strv_split(&sv, "a,,b,", ',');
	CHECK_EQ(sv.n, 4);
	CLEANUP_FREE char *joined = strv_join(&sv, ",");
	CHECK_STR(joined, "a,,b,");
}

TEST_MAIN()
