/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include "test.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" D1 "\",\"size\":5}"
#define LAYER "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"" D2 "\",\"size\":7}"
#define GOOD "{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER "]}"
#define ENTRY(digest, platform) "{\"mediaType\":\"" MANIFEST_OCI "\",\"digest\":\"" digest "\",\"size\":9,\"platform\":{" platform "}}"
#define AMD64 "\"os\":\"linux\",\"architecture\":\"amd64\""
#define ARM64 "\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\""
#define INDEX "{\"schemaVersion\":2,\"manifests\":[" ENTRY(D1, AMD64) "," ENTRY(D2, ARM64) "]}"

static int parse(const char *text, const char *type, struct manifest **ret, struct err *err)
{
	*ret = NULL;
	*err = ERR_INIT;
	return manifest_parse(text, strlen(text), type, ret, err);
}

TEST(image)
{
	CLEANUP_MANIFEST struct manifest *m = NULL;
	struct err err;
	CHECK_EQ(parse(GOOD, MANIFEST_OCI "; charset=utf-8", &m, &err), 0);
	CHECK(!m->is_index);
	CHECK_STR(m->media_type, MANIFEST_OCI);
	CHECK_STR(m->config.digest, D1);
	CHECK_EQ(m->layers_n, 1);
	CHECK_STR(m->layers[0].digest, D2);
	CHECK_EQ(m->layers[0].size, 7);
}

TEST(index_chooses_by_platform)
{
	CLEANUP_MANIFEST struct manifest *m = NULL;
	struct descriptor d;
	struct err err;
	CHECK_EQ(parse(INDEX, NULL, &m, &err), 0);
	CHECK(m->is_index);
	CHECK_EQ(manifest_choose(m, "linux/amd64", &d, &err), 0);
	CHECK_STR(d.digest, D1);
	CHECK_EQ(manifest_choose(m, "linux/arm64", &d, &err), 0);
	CHECK_STR(d.digest, D2);
	CHECK(manifest_choose(m, "linux/mips", &d, &err) < 0);
	CHECK_EQ(err.kind, ERR_NOT_FOUND);
	CHECK(strstr(err.why, "linux/arm64/v8"));
}

TEST(bad_ones_are_refused)
{
	static const struct {
		const char *text, *type;
	} bad[] = {
		{ "", NULL },
		{ "{", NULL },
		{ "[]", NULL },
		{ "{}", NULL },
		{ "{\"schemaVersion\":2}", NULL },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", NULL },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2," CONFIG ",\"layers\":[]}", NULL },
		/* Read one way by one program, another by the next. */
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", NULL },
		{ GOOD, MANIFEST_OCI_INDEX },
		{ INDEX, MANIFEST_DOCKER },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_OCI_INDEX "\"," CONFIG ",\"layers\":[]}", NULL },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_DOCKER "\"," CONFIG ",\"layers\":[]}", MANIFEST_OCI },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":{}}", NULL },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[3]}", NULL },
		{ "{\"schemaVersion\":2," CONFIG ",\"layers\":[{\"digest\":\"" D1 "\",\"size\":1}]}", NULL },
		{ "{\"schemaVersion\":2," CONFIG ",\"manifests\":4}", NULL },
		{ "{\"schemaVersion\":2,\"manifests\":4}", NULL },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"x\",\"digest\":\"" D1 "\",\"size\":1},\"layers\":[]}", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct manifest *m;
		struct err err;
		if (parse(bad[i].text, bad[i].type, &m, &err) >= 0)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i].text);
		CHECK(err_is_set(&err));
		CHECK(m == NULL);
	}
}

TEST_MAIN()
