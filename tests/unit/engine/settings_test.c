/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "test.h"

static int add(struct settings *s, const char *text, struct err *err)
{
	*err = ERR_INIT;
	return settings_add_toml(s, text, strlen(text), "hull.toml", err);
}

TEST(later_files_replace_earlier_ones)
{
	CLEANUP_SETTINGS struct settings s = { 0 };
	static const char daemon[] = "{\"registry-mirrors\":[\"https://d\"],\"insecure-registries\":[\"i\"],\"debug\":true}";
	struct err err = ERR_INIT;
	CHECK_EQ(settings_add_daemon_json(&s, daemon, strlen(daemon), "daemon.json", &err), 0);
	CHECK_STR(s.registry_mirrors.v[0], "https://d");
	CHECK_EQ(add(&s, "registry-mirrors = ['https://h']\n[registry.'g:1']\nmirrors = ['https://m']\ninsecure = true\n", &err), 0);
	CHECK_EQ(s.registry_mirrors.n, 1);
	CHECK_STR(s.registry_mirrors.v[0], "https://h");
	CHECK_STR(s.insecure_registries.v[0], "i");
	CHECK_EQ(s.registries_n, 1);
	CHECK_STR(s.registries[0].host, "g:1");
	CHECK(s.registries[0].is_insecure);
	CHECK_EQ(add(&s, "[registry.'g:1']\ninsecure = false\n", &err), 0);
	CHECK(!s.registries[0].is_insecure);
	CHECK_EQ(s.registries[0].mirrors.n, 1);
}

TEST(address_pools)
{
	CLEANUP_SETTINGS struct settings s = { 0 };
	static const char daemon[] = "{\"default-address-pools\":[{\"base\":\"10.1.0.0/16\",\"size\":24},{\"base\":\"fd00::/48\",\"size\":64}]}";
	static const char wrong[] = "{\"default-address-pools\":[{\"base\":\"10.1.0.0/16\"}]}";
	struct err err = ERR_INIT;
	CHECK_EQ(settings_add_daemon_json(&s, daemon, strlen(daemon), "daemon.json", &err), 0);
	CHECK_EQ(s.address_pools_n, 2);
	CHECK_EQ(s.address_pools[0].size, 24);
	CHECK_EQ(s.address_pools[1].base.family, AF_INET6);
	CHECK_EQ(add(&s, "default-address-pools = ['base=10.2.0.0/16,size=28']", &err), 0);
	CHECK_EQ(s.address_pools_n, 1);
	CHECK_EQ(s.address_pools[0].size, 28);
	CHECK(add(&s, "\ndefault-address-pools = ['10.2.0.0/16']", &err) < 0);
	CHECK(strstr(err.msg, "hull.toml:2: "));
	CHECK(add(&s, "default-address-pools = 'base=10.2.0.0/16,size=28'", &err) < 0);
	err = ERR_INIT;
	CHECK(settings_add_daemon_json(&s, wrong, strlen(wrong), "daemon.json", &err) < 0);
	CHECK(strstr(err.msg, "daemon.json: default-address-pools"));
}

TEST(mistakes)
{
	struct settings s = { 0 };
	struct err err;
	CHECK(add(&s, "registry-mirror = ['x']", &err) < 0);
	CHECK_STR(err.msg, "hull.toml:1: unknown setting registry-mirror");
	CHECK(strstr(err.hint, "registry-mirrors"));
	CHECK(add(&s, "registry-mirrors = 'x'", &err) < 0);
	CHECK(add(&s, "[registry.x]\ninsecure = 'yes'", &err) < 0);
	CHECK(add(&s, "[registry.x]\nmirror = []", &err) < 0);
	CHECK(settings_add_daemon_json(&s, "{\"registry-mirrors\":\"x\"}", 24, "daemon.json", &err) < 0);
	CHECK_EQ(settings_add_daemon_json(&s, "", 0, "daemon.json", &err), 0);
	settings_done(&s);
}

TEST_MAIN()
