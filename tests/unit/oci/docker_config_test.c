/* SPDX-License-Identifier: Apache-2.0 */
#include "docker_config.h"

#include "test.h"

/* me:secret */
#define AUTH "bWU6c2VjcmV0"

static struct json *parse(const char *text)
{
	struct json *j = NULL;
	struct err err = ERR_INIT;
	CHECK_EQ(json_parse(text, strlen(text), "t", &j, &err), 0);
	return j;
}

TEST(log_ins)
{
	CLEANUP_JSON struct json *c = parse("{\"auths\":{\"a:5\":{\"auth\":\"" AUTH "\"},\"https://b/v1/\":{\"auth\":\"" AUTH "\"},"
					    "\"https://index.docker.io/v1/\":{\"identitytoken\":\"t\"},\"empty\":{},\"bad\":{\"auth\":\"!!\"},"
					    "\"plain\":{\"username\":\"u\",\"password\":\"p\"}}}");
	CLEANUP_REGISTRY_LOGIN struct registry_login l = { 0 };
	struct err err = ERR_INIT;
	CHECK_EQ(docker_config_login(c, "a:5", &l, &err), 1);
	CHECK_STR(l.username, "me");
	CHECK_STR(l.password, "secret");
	registry_login_done(&l);
	CHECK_EQ(docker_config_login(c, "b", &l, &err), 1);
	registry_login_done(&l);
	CHECK_EQ(docker_config_login(c, "docker.io", &l, &err), 1);
	CHECK_STR(l.identity_token, "t");
	registry_login_done(&l);
	CHECK_EQ(docker_config_login(c, "plain", &l, &err), 1);
	CHECK_STR(l.password, "p");
	registry_login_done(&l);
	CHECK_EQ(docker_config_login(c, "empty", &l, &err), 0);
	CHECK_EQ(docker_config_login(c, "a", &l, &err), 0);
	CHECK_EQ(docker_config_login(NULL, "a", &l, &err), 0);
	CHECK(docker_config_login(c, "bad", &l, &err) < 0);
}

TEST(helpers)
{
	CLEANUP_JSON struct json *c = parse("{\"credsStore\":\"all\",\"credHelpers\":{\"a\":\"one\"}}");
	CHECK_STR(docker_config_helper(c, "a"), "one");
	CHECK_STR(docker_config_helper(c, "b"), "all");
	CHECK(!docker_config_helper(NULL, "b"));
}

TEST(changes_leave_the_rest_alone)
{
	CLEANUP_JSON struct json *c = parse("{\"x\":{\"y\":[1,null]},\"auths\":{\"a\":{\"auth\":\"" AUTH "\"},\"b\":{}},\"z\":1.5}");
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	struct registry_login l = { .username = (char[]){ "me" }, .password = (char[]){ "secret" } };
	CHECK_EQ(docker_config_change(c, "n", &l, &out), 0);
	CLEANUP_JSON struct json *n = parse(buf_str(&out));
	CHECK_STR(json_get_str(json_get(json_get(n, "auths"), "n"), "auth"), AUTH);
	CHECK_EQ(json_object_len(json_get(n, "auths")), 3);
	CHECK_EQ(json_object_len(n), 3);
	buf_clear(&out);
	CHECK_EQ(docker_config_change(n, "a", NULL, &out), 0);
	CLEANUP_JSON struct json *m = parse(buf_str(&out));
	CHECK(!docker_config_has(m, "a") && docker_config_has(m, "b") && docker_config_has(m, "n"));
	buf_clear(&out);
	CHECK_EQ(docker_config_change(NULL, "docker.io", &l, &out), 0);
	CLEANUP_JSON struct json *h = parse(buf_str(&out));
	CHECK(json_get(json_get(h, "auths"), "https://index.docker.io/v1/"));
}

TEST_MAIN()
