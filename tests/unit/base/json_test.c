/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include "test.h"

static int parse(const char *text, struct json **ret)
{
	struct err err = ERR_INIT;
	int r = json_parse(text, strlen(text), "test", ret, &err);
	CHECK_EQ(r < 0, err_is_set(&err));
	return r;
}

TEST(refuses_what_is_not_strict)
{
	static const char *const bad[] = { "", "{", "{\"a\":1,\"a\":2}", "[1] x", "{\"a\":01}", "\"\xff\"", "nul", NULL };
	for (const char *const *s = bad; *s; s++) {
		struct json *root = NULL;
		CHECK(parse(*s, &root) < 0);
	}
	char deep[200];
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	struct json *root = NULL;
	struct err err = ERR_INIT;
	CHECK(json_parse(deep, sizeof(deep), "test", &root, &err) < 0);
}

TEST(reads_members)
{
	CLEANUP_JSON struct json *root = NULL;
	CHECK_EQ(parse("{\"s\":\"x\",\"n\":9007199254740993,\"b\":true,\"v\":[\"a\",\"b\"],\"z\":null}", &root), 0);
	CHECK_STR(json_get_str(root, "s"), "x");
	CHECK_EQ(json_get_i64(root, "n", 0), 9007199254740993LL);
	CHECK(json_get_bool(root, "b", false));
	CHECK(json_get(root, "z") == NULL);
	CLEANUP_STRV struct strv sv = { 0 };
	CHECK_EQ(json_get_strv(root, "v", &sv), 0);
	CHECK_EQ(sv.n, 2);
	CHECK_EQ(json_get_strv(root, "s", &sv), -EINVAL);
	struct json *member = NULL;
	struct err err = ERR_INIT;
	CHECK(json_check(root, "s", JT_ARRAY, "config", &member, &err) < 0);
	CHECK_STR(err.msg, "config: \"s\" must be an array, not a string");
}

TEST(writes_and_escapes)
{
	CLEANUP_BUF struct buf b = BUF_INIT(4096);
	struct json_writer w;
	json_writer_init(&w, &b, 0);
	jw_object(&w);
	jw_kv_str(&w, "a\"b", "x\n\x01\xff\xc3\xa9");
	jw_key(&w, "list");
	jw_array(&w);
	jw_i64(&w, -5);
	jw_bool(&w, true);
	jw_null(&w);
	jw_array_end(&w);
	jw_key(&w, "empty");
	jw_object(&w);
	jw_object_end(&w);
	jw_object_end(&w);
	CHECK_EQ(json_writer_finish(&w), 0);
	CHECK_STR(buf_str(&b), "{\"a\\\"b\":\"x\\n\\u0001\\ufffd\xc3\xa9\",\"list\":[-5,true,null],\"empty\":{}}");
}

TEST(indents_as_docker)
{
	CLEANUP_BUF struct buf b = BUF_INIT(4096);
	struct json_writer w;
	json_writer_init(&w, &b, 4);
	jw_array(&w);
	jw_object(&w);
	jw_kv_i64(&w, "a", 1);
	jw_object_end(&w);
	jw_array_end(&w);
	CHECK_EQ(json_writer_finish(&w), 0);
	CHECK_STR(buf_str(&b), "[\n    {\n        \"a\": 1\n    }\n]");
}

TEST(maximum_is_an_error)
{
	CLEANUP_BUF struct buf b = BUF_INIT(8);
	struct json_writer w;
	json_writer_init(&w, &b, 0);
	jw_str(&w, "more than eight bytes");
	CHECK_EQ(json_writer_finish(&w), -E2BIG);
}

TEST_MAIN()
