/* SPDX-License-Identifier: Apache-2.0 */
#include "image_config.h"

#include "test.h"

#define D "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct image_config *parse(const char *text, struct err *err)
{
	struct image_config *c = NULL;
	return image_config_parse(text, strlen(text), &c, err) < 0 ? NULL : c;
}

TEST(read_and_written_again)
{
	struct err err = ERR_INIT;
	CLEANUP_IMAGE_CONFIG struct image_config *c = parse(
		"{\"architecture\":\"amd64\",\"config\":{\"User\":\"1:2\",\"ExposedPorts\":{\"80/tcp\":{}},\"Env\":[\"A=b\"],"
		"\"Entrypoint\":null,\"Cmd\":[\"sh\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5},"
		"\"Labels\":{\"k\":\"v=w\"}},\"created\":\"2026-01-02T03:04:05Z\","
		"\"history\":[{\"created_by\":\"RUN x\",\"empty_layer\":true}],\"os\":\"linux\","
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D "\"]}}",
		&err);
	CHECK(c != NULL);
	CHECK_STR(c->user, "1:2");
	CHECK_EQ(c->entrypoint.n, 0);
	CHECK_STR(c->labels.v[0], "k=v=w");
	CHECK_STR(c->diffids.v[0], D);
	CHECK(c->history[0].is_empty_layer);
	CHECK(c->has_health && c->health.interval_ns == 5);
	CLEANUP_BUF struct buf a = BUF_INIT(65536), b = BUF_INIT(65536);
	CHECK_EQ(image_config_write(c, &a), 0);
	CLEANUP_IMAGE_CONFIG struct image_config *again = parse(buf_str(&a), &err);
	CHECK(again != NULL);
	CHECK_EQ(image_config_write(again, &b), 0);
	CHECK_STR(buf_str(&a), buf_str(&b));
}

TEST(bad_documents_are_refused)
{
	const char *const bad[] = { "",
				    "[]",
				    "{\"os\":1}",
				    "{\"config\":[]}",
				    "{\"config\":{\"Env\":[1]}}",
				    "{\"config\":{\"Labels\":{\"a\":1}}}",
				    "{\"rootfs\":{\"diff_ids\":[\"../../etc\"]}}",
				    "{\"os\":\"a\",\"os\":\"b\"}",
				    NULL };
	for (size_t i = 0; bad[i]; i++) {
		struct err err = ERR_INIT;
		if (parse(bad[i], &err))
			test_fail(__FILE__, __LINE__, "accepted %s", bad[i]);
		CHECK_EQ(err.kind, ERR_INVALID);
	}
}

TEST_MAIN()
