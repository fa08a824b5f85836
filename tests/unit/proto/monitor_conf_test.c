/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "buf.h"
#include "event_log.h"
#include "log_options.h"
#include "monitor_conf.h"
#include "test.h"

TEST(conf_survives_the_file)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_MONITOR_CONF struct monitor_conf *a = monitor_conf_new(), *b = NULL;
	a->id = str_dup("abc");
	a->name = str_dup("we\\ird\nname=x");
	a->log_driver = LOG_DRIVER_SYSLOG;
	a->restart = RESTART_ON_FAILURE;
	a->restart_max_retries = 7;
	a->tty = true;
	a->stop_timeout_s = UINT32_MAX;
	strv_add(&a->links, "hv0123456789a");
	strv_add(&a->health_test, "/bin/sh");
	strv_add(&a->health_test, "");
	strv_add(&a->health_test, "a\nb\\n");
	struct err err = ERR_INIT;
	CHECK_EQ(monitor_conf_write(dir, a, &err), 0);
	CHECK_EQ(monitor_conf_read(dir, &b, &err), 0);
	CHECK_STR(b->name, a->name);
	CHECK(!b->image);
	CHECK_EQ(b->log_driver, LOG_DRIVER_SYSLOG);
	CHECK_EQ(b->restart_max_retries, 7);
	CHECK(b->tty && !b->open_stdin);
	CHECK_EQ(b->stop_timeout_s, UINT32_MAX);
	CHECK_EQ(b->health_interval_ns, 30000000000LL);
	CHECK_EQ(b->links.n, 1);
	CHECK_STR(b->links.v[0], "hv0123456789a");
	CHECK_EQ(b->health_test.n, 3);
	CHECK_STR(b->health_test.v[1], "");
	CHECK_STR(b->health_test.v[2], "a\nb\\n");
}

TEST(conf_refuses_damage)
{
	struct err err = ERR_INIT;
	struct monitor_conf *conf = NULL;
	char no_value[] = "id=a\nnonsense\n", bad_enum[] = "id=a\nlog_driver=9\n", bad_bool[] = "id=a\ntty=2\n", no_id[] = "tty=1\n";
	CHECK(monitor_conf_parse(no_value, &conf, &err) < 0);
	CHECK(monitor_conf_parse(bad_enum, &conf, &err) < 0);
	CHECK(monitor_conf_parse(bad_bool, &conf, &err) < 0);
	CHECK(monitor_conf_parse(no_id, &conf, &err) < 0);
	char unknown[] = "id=a\nfrom_the_future=1\n";
	CHECK_EQ(monitor_conf_parse(unknown, &conf, &err), 0);
	monitor_conf_free(conf);
}

TEST(policies_parse)
{
	enum restart_policy p;
	uint32_t n;
	struct err err = ERR_INIT;
	CHECK_EQ(restart_policy_parse("on-failure:5", &p, &n, &err), 0);
	CHECK(p == RESTART_ON_FAILURE && n == 5);
	CHECK_EQ(restart_policy_parse("", &p, &n, &err), 0);
	CHECK(p == RESTART_NO && n == 0);
	CHECK(restart_policy_parse("always:3", &p, &n, &err) < 0);
	CHECK(restart_policy_parse("sometimes", &p, &n, &err) < 0);
}

TEST(log_options_are_docker_s)
{
	CLEANUP_MONITOR_CONF struct monitor_conf *conf = monitor_conf_new();
	CLEANUP_STRV struct strv opts = { 0 }, labels = { 0 }, env = { 0 };
	strv_add(&opts, "max-size=10m");
	strv_add(&opts, "max-file=3");
	strv_add(&opts, "tag={{.Name}}/{{ .ID }}");
	strv_add(&opts, "labels=a,c");
	strv_add(&opts, "env-regex=^P");
	strv_add(&labels, "a=1");
	strv_add(&labels, "b=2");
	strv_add(&env, "PATH=/bin");
	struct log_subject s = { .id = "0123456789abcdef", .name = "web", .labels = &labels, .env = &env };
	struct err err = ERR_INIT;
	CHECK_EQ(log_options_apply(conf, NULL, &opts, &s, &err), 0);
	CHECK_EQ(conf->log_max_size_bytes, 10 << 20);
	CHECK_EQ(conf->log_max_file, 3);
	CHECK_STR(conf->log_tag, "web/0123456789ab");
	CHECK_EQ(conf->log_attrs.n, 2);
	CHECK_STR(conf->log_attrs.v[1], "PATH=/bin");
	strv_add(&opts, "nope=1");
	CHECK(log_options_apply(conf, "json-file", &opts, &s, &err) < 0);
	CHECK_STR(err.msg, "unknown log opt 'nope' for json-file log driver");
	CHECK(log_options_apply(conf, "splunk", NULL, &s, &err) < 0);
}

static int count(const struct event *e, void *ctx)
{
	int *n = ctx;
	CHECK_STR(e->type, "container");
	CHECK_STR(e->action, "health_status: healthy");
	CHECK_EQ(e->attrs_n, 1);
	CHECK_STR(e->attrs[0], "k=a\tb\nc\\");
	return *n < 0 ? *n : ((*n)++, 0);
}

TEST(events_are_drained_once)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct event e = { .wall_ns = 5, .type = "container", .action = "health_status: healthy", .id = "x", .attrs = { "k=a\tb\nc\\" }, .attrs_n = 1 };
	int n = -5;
	CHECK_EQ(event_log_drain(dir, count, NULL, &n), 0);
	CHECK_EQ(event_log_append(dir, &e), 0);
	CHECK_EQ(event_log_append(dir, &e), 0);
	CHECK_EQ(event_log_drain(dir, count, NULL, &n), -5);
	n = 0;
	CHECK_EQ(event_log_drain(dir, count, NULL, &n), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(event_log_drain(dir, count, NULL, &n), 0);
	CHECK_EQ(n, 2);
}

TEST_MAIN()
