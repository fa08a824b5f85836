/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "json_log.h"
#include "test.h"

static int parse(const char *text, struct json_log_line *line)
{
	return json_log_parse(text, strlen(text), line);
}

TEST(a_line_is_taken_apart)
{
	CLEANUP_JSON_LOG_LINE struct json_log_line line = JSON_LOG_LINE_INIT;
	CHECK(parse("{\"log\":\"a\\u003cb\\n\",\"stream\":\"stderr\",\"attrs\":{\"tag\":\"x\",\"k\":\"v\"},"
		    "\"time\":\"1970-01-01T00:00:01.5Z\"}\n", &line) == 0);
	CHECK_STR(buf_str(&line.text), "a<b\n");
	CHECK_STR(buf_str(&line.attrs), "tag=x,k=v");
	CHECK(line.stream == 2 && line.wall_ns == 1500000000);
}

TEST(any_byte_can_be_logged)
{
	CLEANUP_JSON_LOG_LINE struct json_log_line line = JSON_LOG_LINE_INIT;
	CHECK(parse("{\"log\":\"\\u0000\\\"\\ud83d\\ude00\\ud800\"}", &line) == 0);
	CHECK(line.text.len == 9 && memcmp(line.text.data, "\0\"\xf0\x9f\x98\x80\xef\xbf\xbd", 9) == 0);
}

TEST(torn_lines_are_refused)
{
	CLEANUP_JSON_LOG_LINE struct json_log_line line = JSON_LOG_LINE_INIT;
	const char *whole = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2024-01-01T00:00:00Z\"}";
	for (size_t n = 0; n < strlen(whole); n++)
		CHECK(json_log_parse(whole, n, &line) < 0);
	CHECK(parse(whole, &line) == 0);
	CHECK(parse("{\"log\":1}", &line) < 0);
	CHECK(parse("{\"log\":\"\"}}", &line) < 0);
}

TEST_MAIN()
