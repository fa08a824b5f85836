/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/capability.h>
#include <stdlib.h>

#include "container_config.h"
#include "names.h"
#include "spec_builder.h"
#include "test.h"
#include "user_lookup.h"

TEST(names_follow_the_rule)
{
	struct err err = ERR_INIT;
	const char *ok = "/web-1.a_b";
	CHECK_EQ(container_name_check(&ok, &err), 0);
	CHECK_STR(ok, "web-1.a_b");
	static const char *const bad[] = { "a", "", "-x", "a b", "a/b", ".x", "\xc3\xa9x" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *name = bad[i];
		CHECK(container_name_check(&name, &err) < 0);
	}
	char made[64];
	container_name_generate(0, made);
	const char *m = made;
	err = ERR_INIT;
	CHECK_EQ(container_name_check(&m, &err), 0);
}

TEST(ids_do_not_look_like_numbers)
{
	char id[ID_SIZE];
	for (int i = 0; i < 1000; i++) {
		id_generate(id);
		CHECK(id_is_valid(id));
		CHECK(strspn(id, "0123456789") < ID_SHORT);
	}
}

TEST(config_round_trips)
{
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new(), *d = NULL;
	c->image = str_dup("debian:12");
	c->has_cmd = true;
	strv_add(&c->cmd, "sh \"x\"");
	strv_add(&c->env, "A=b=c");
	strv_add(&c->labels, "k=v");
	strv_add(&c->tmpfs, "/run=size=1m");
	c->has_stop_timeout = true;
	c->stop_timeout_s = -1;
	c->memory_bytes = 1 << 29;
	struct port_binding *p = config_add_port(c);
	*p = (struct port_binding){ .container_port = 80, .protocol = "tcp", .host_ip = "127.0.0.1", .host_port = 8080 };
	struct config_mount *m = config_add_mount(c);
	m->type = str_dup("volume");
	m->source = str_dup("data");
	m->target = str_dup("/data");
	m->no_copy = true;
	CLEANUP_BUF struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;
	CHECK_EQ(container_config_write(c, &one), 0);
	CHECK_EQ(container_config_parse(one.data, one.len, &d, &err), 0);
	CHECK_EQ(container_config_write(d, &two), 0);
	CHECK_STR(buf_str(&one), buf_str(&two));
	CHECK_EQ(d->port_bindings[0].host_port, 8080);
	CHECK_STR(d->tmpfs.v[0], "/run=size=1m");
	CHECK_EQ(d->stop_timeout_s, -1);
}

TEST(entrypoint_and_command)
{
	struct err err = ERR_INIT;
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();
	CLEANUP_IMAGE_CONFIG struct image_config *image = image_config_new();
	CLEANUP_STRV struct strv a = { 0 }, b = { 0 }, d = { 0 };
	CHECK(spec_args(c, image, &a, &err) < 0);
	strv_add(&image->entrypoint, "/e");
	strv_add(&image->cmd, "x");
	CHECK_EQ(spec_args(c, image, &a, &err), 0);
	CHECK_STR(a.v[1], "x");
	c->has_cmd = true;
	strv_add(&c->cmd, "y");
	CHECK_EQ(spec_args(c, image, &b, &err), 0);
	CHECK_STR(b.v[0], "/e");
	CHECK_STR(b.v[1], "y");
	/* --entrypoint drops the image's command too. */
	strv_free(&c->cmd);
	memset(&c->cmd, 0, sizeof(c->cmd));
	c->has_cmd = false;
	c->has_entrypoint = true;
	strv_add(&c->entrypoint, "/bin/true");
	CHECK_EQ(spec_args(c, image, &d, &err), 0);
	CHECK_EQ(d.n, 1);
}

TEST(capabilities_add_and_drop)
{
	struct err err = ERR_INIT;
	struct spec_capabilities caps;
	CLEANUP_STRV struct strv add = { 0 }, drop = { 0 };
	CHECK_EQ(spec_capabilities(&add, &drop, false, true, &caps, &err), 0);
	CHECK_EQ(__builtin_popcountll(caps.bounding), 14);
	strv_add(&drop, "all");
	strv_add(&add, "NET_ADMIN");
	CHECK_EQ(spec_capabilities(&add, &drop, false, false, &caps, &err), 0);
	CHECK_EQ(caps.bounding, UINT64_C(1) << CAP_NET_ADMIN);
	CHECK_EQ(caps.effective, 0);
	strv_add(&add, "NOSUCH");
	CHECK(spec_capabilities(&add, &drop, false, true, &caps, &err) < 0);
}

TEST(limits_have_dockers_minimums)
{
	struct err err = ERR_INIT;
	struct spec_resources res = { 0 };
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();
	c->memory_bytes = 1 << 20;
	CHECK(spec_limits(c, &res, &err) < 0);
	CHECK_STR(err.msg, "Minimum memory limit allowed is 6MB");
	c->memory_bytes = 64 << 20;
	CHECK_EQ(spec_limits(c, &res, &err), 0);
	CHECK_EQ(res.memory_swap_bytes, 128 << 20);
	c->nano_cpus = 500000000;
	CHECK_EQ(spec_limits(c, &res, &err), 0);
	CHECK_EQ(res.cpu_quota_us, 50000);
	spec_resources_done(&res);
}

TEST(users_come_from_the_image)
{
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\nbroken\nweb:x:33:34::/srv:/bin/sh\n";
	static const char group[] = "root:x:0:\nwww:x:34:\nlog:x:50:root,web\n";
	struct err err = ERR_INIT;
	struct spec_user u = { 0 };
	char *home = NULL;
	CHECK_EQ(user_resolve(passwd, group, "web", NULL, &u, &home, &err), 0);
	CHECK_EQ(u.uid, 33);
	CHECK_EQ(u.gid, 34);
	CHECK_EQ(u.groups_n, 1);
	CHECK_EQ(u.groups[0], 50);
	CHECK_STR(home, "/srv");
	free(home);
	free(u.groups);
	u = (struct spec_user){ 0 };
	CHECK_EQ(user_resolve(passwd, group, "1234:log", NULL, &u, &home, &err), 0);
	CHECK_EQ(u.uid, 1234);
	CHECK_EQ(u.gid, 50);
	free(home);
	CHECK(user_resolve(passwd, group, "nobody", NULL, &u, &home, &err) < 0);
	CHECK(user_resolve(passwd, group, "0:nogroup", NULL, &u, &home, &err) < 0);
}

TEST_MAIN()
