/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_proto.h"

#include "test.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"

TEST(open_round_trip)
{
	CLEANUP_FETCH_OPEN struct fetch_open in = { .registry = str_dup("localhost:5000") }, out = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(FETCH_MESSAGE_MAX);
	struct err err = ERR_INIT;
	strv_add(&in.options.mirrors, "https://m");
	strv_add(&in.options.insecure, "h:1");
	in.options.username = str_dup("u");
	in.options.password = str_dup("p\"\n");
	in.options.stall_ms = 5;
	CHECK_EQ(fetch_open_write(&in, &text), 0);
	CHECK_EQ(fetch_open_parse(text.data, text.len, &out, &err), 0);
	CHECK_STR(out.registry, "localhost:5000");
	CHECK_STR(out.options.mirrors.v[0], "https://m");
	CHECK_STR(out.options.insecure.v[0], "h:1");
	CHECK_STR(out.options.password, "p\"\n");
	CHECK(!out.options.identity_token);
	CHECK_EQ(out.options.stall_ms, 5);
}

TEST(request_round_trip)
{
	CLEANUP_FETCH_REQUEST struct fetch_request in = { .id = 7, .op = FETCH_BLOB, .repository = str_dup("a/b"), .digest = str_dup(D1),
							  .size = 10, .offset = 3, .is_origin_only = true },
				   out = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(FETCH_MESSAGE_MAX);
	struct err err = ERR_INIT;
	CHECK_EQ(fetch_request_write(&in, &text), 0);
	CHECK_EQ(fetch_request_parse(text.data, text.len, &out, &err), 0);
	CHECK_EQ(out.id, 7);
	CHECK_EQ(out.op, FETCH_BLOB);
	CHECK_STR(out.repository, "a/b");
	CHECK_EQ(out.offset, 3);
	CHECK(out.is_origin_only && !out.is_verified);
}

TEST(events_round_trip)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FETCH_MESSAGE_MAX);
	struct fetch_event in = { .id = 1, .kind = FETCH_FAILED, .status = 404, .is_unread = true }, out = { 0 };
	struct err err = ERR_INIT;
	err_set(&in.err, ERR_NOT_FOUND, 0, "gone\x1b[31m");
	err_why(&in.err, "because");
	CHECK_EQ(fetch_event_write(&in, &text), 0);
	CHECK_EQ(fetch_event_parse(text.data, text.len, &out, &err), 0);
	CHECK_EQ(out.kind, FETCH_FAILED);
	CHECK_EQ(out.status, 404);
	CHECK(out.is_unread);
	CHECK_EQ(out.err.kind, ERR_NOT_FOUND);
	/* Nothing from a stranger reaches a terminal as it is. */
	CHECK_STR(out.err.msg, "gone [31m");
	CHECK_STR(out.err.why, "because");
	buf_clear(&text);
	struct fetch_event done = { .id = 2, .kind = FETCH_DONE, .result = FETCH_MOUNTED, .digest = D1, .media_type = "a/b" };
	CHECK_EQ(fetch_event_write(&done, &text), 0);
	CHECK_EQ(fetch_event_parse(text.data, text.len, &out, &err), 0);
	CHECK_EQ(out.result, FETCH_MOUNTED);
	CHECK_STR(out.digest, D1);
	CHECK_STR(out.media_type, "a/b");
	fetch_event_done(&out);
}

TEST(long_texts_are_cut_between_characters)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FETCH_MESSAGE_MAX);
	struct fetch_event out = { 0 };
	struct err err = ERR_INIT;
	int r = buf_append_str(&text, "{\"id\":1,\"event\":\"failed\",\"message\":\"x");
	for (size_t i = 0; i < 1000 && r == 0; i++)
		r = buf_append_str(&text, "\xc3\xa9");
	CHECK_EQ(r, 0);
	CHECK_EQ(buf_append_str(&text, "\"}"), 0);
	CHECK_EQ(fetch_event_parse(text.data, text.len, &out, &err), 0);
	size_t n = strlen(out.err.msg);
	CHECK_EQ(n % 2, 1);
	CHECK(n > sizeof(out.err.msg) - 4);
}

TEST(bad_messages_are_refused)
{
	const char *const bad[] = {
		"", "{", "[]", "{\"id\":1}", "{\"id\":-1,\"event\":\"done\"}", "{\"id\":1,\"event\":\"x\"}",
		"{\"id\":1,\"event\":\"done\",\"digest\":\"sha256:../x\"}", "{\"id\":1,\"event\":\"done\",\"result\":\"x\"}",
		"{\"id\":1,\"event\":\"failed\",\"kind\":99}", "{\"id\":1,\"event\":\"failed\",\"errno\":5}",
		"{\"id\":1,\"event\":\"progress\",\"bytes\":-5}", "{\"id\":1,\"event\":\"done\",\"identityToken\":5}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct fetch_event e = { 0 };
		struct fetch_request q = { 0 };
		struct fetch_open o = { 0 };
		struct err err = ERR_INIT;
		if (fetch_event_parse(bad[i], strlen(bad[i]), &e, &err) >= 0)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
		CHECK(fetch_request_parse(bad[i], strlen(bad[i]), &q, &err) < 0);
		CHECK(fetch_open_parse(bad[i], strlen(bad[i]), &o, &err) < 0);
	}
}

TEST_MAIN()
