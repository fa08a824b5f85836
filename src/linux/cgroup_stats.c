/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define TEXT_MAX 16384

/* The file as a string in @text; "" when it is not there. */
static const char *slurp(int dir, const char *file, char *text)
{
	CLEANUP_FD int fd = dir < 0 ? -1 : openat(dir, file, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	while (fd >= 0 && len < TEXT_MAX - 1) {
		ssize_t n = read(fd, text + len, TEXT_MAX - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	return text;
}

/* The value of the line "@key N" in @text, or 0. */
static uint64_t field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		if (*p == '\n')
			p++;
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return strtoull(p + n + 1, NULL, 10);
	}
	return 0;
}

static uint64_t number(int dir, const char *file, char *text)
{
	return strtoull(slurp(dir, file, text), NULL, 10);
}

/* A limit: "max" and v1's largest number (page-rounded LONG_MAX) are none. */
static uint64_t limit(int dir, const char *file, char *text, uint64_t none)
{
	const char *s = slurp(dir, file, text);
	uint64_t value = strtoull(s, NULL, 10);

	return *s < '0' || *s > '9' || value >= (UINT64_C(1) << 62) ? none : value;
}

static void read_cpu(const struct cgroup *cg, char *text, struct cgroup_stats *s)
{
	int acct = cgroup_dir(cg, CGROUP_CPUACCT);

	if (cgroup_is_v2(cg->layout, CGROUP_CPUACCT)) {
		slurp(acct, "cpu.stat", text);
		s->cpu_usage_ns = field(text, "usage_usec") * 1000;
		s->cpu_user_ns = field(text, "user_usec") * 1000;
		s->cpu_system_ns = field(text, "system_usec") * 1000;
	} else if (acct >= 0) {
		s->cpu_usage_ns = number(acct, "cpuacct.usage", text);
		s->cpu_user_ns = number(acct, "cpuacct.usage_user", text);
		s->cpu_system_ns = number(acct, "cpuacct.usage_sys", text);
	}
	if (!cgroup_is_v2(cg->layout, CGROUP_CPU) || acct != cgroup_dir(cg, CGROUP_CPU))
		slurp(cgroup_dir(cg, CGROUP_CPU), "cpu.stat", text);
	s->cpu_periods = field(text, "nr_periods");
	s->cpu_throttled_periods = field(text, "nr_throttled");
	s->cpu_throttled_ns = field(text, "throttled_usec") * 1000;
	if (!s->cpu_throttled_ns)
		s->cpu_throttled_ns = field(text, "throttled_time");
}

static void read_memory(const struct cgroup *cg, char *text, struct cgroup_stats *s)
{
	int dir = cgroup_dir(cg, CGROUP_MEMORY);

	s->memory_limit_bytes = UINT64_MAX;
	if (dir < 0)
		return;
	if (cgroup_is_v2(cg->layout, CGROUP_MEMORY)) {
		s->memory_total_bytes = number(dir, "memory.current", text);
		s->memory_max_bytes = number(dir, "memory.peak", text);
		s->memory_limit_bytes = limit(dir, "memory.max", text, UINT64_MAX);
		s->memory_inactive_file_bytes = field(slurp(dir, "memory.stat", text), "inactive_file");
	} else {
		s->memory_total_bytes = number(dir, "memory.usage_in_bytes", text);
		s->memory_max_bytes = number(dir, "memory.max_usage_in_bytes", text);
		s->memory_limit_bytes = limit(dir, "memory.limit_in_bytes", text, UINT64_MAX);
		s->memory_inactive_file_bytes = field(slurp(dir, "memory.stat", text), "total_inactive_file");
	}
	if (cgroup_oom_kills(cg, &s->oom_kills) < 0)
		s->oom_kills = 0;
}

static void read_pids(const struct cgroup *cg, char *text, struct cgroup_stats *s)
{
	int dir = cgroup_dir(cg, CGROUP_PIDS);

	if (dir >= 0) {
		s->pids = number(dir, "pids.current", text);
		s->pids_limit = limit(dir, "pids.max", text, 0);
		/* pids in v2 without the controller enabled falls through. */
		if (s->pids)
			return;
	}
	/* Not in the controller: count. Groups below are counted by process. */
	CLEANUP_FREE pid_t *list = NULL;
	size_t n = 0;
	const char *p = slurp(cg->fd[CGROUP_UNIFIED], "cgroup.threads", text);
	uint64_t threads = 0;
	for (; (p = strchr(p, '\n')); p++)
		threads++;
	if (cgroup_pids(cg, &list, &n) < 0)
		n = 0;
	s->pids = threads > n ? threads : n;
}

/* v1: "8:0 Read 4096" lines and a Total; summed over devices. */
static void sum_v1(const char *text, uint64_t *reads, uint64_t *writes)
{
	for (const char *p = text; (p = strchr(p, ' ')); p++) {
		if (str_starts_with(p, " Read "))
			*reads += strtoull(p + 6, NULL, 10);
		else if (str_starts_with(p, " Write "))
			*writes += strtoull(p + 7, NULL, 10);
	}
}

static uint64_t sum_v2(const char *text, const char *key)
{
	uint64_t sum = 0;
	size_t n = strlen(key);

	for (const char *p = text; (p = strstr(p, key)); p += n)
		sum += strtoull(p + n, NULL, 10);
	return sum;
}

static void read_blkio(const struct cgroup *cg, char *text, struct cgroup_stats *s)
{
	int dir = cgroup_dir(cg, CGROUP_BLKIO);

	if (dir < 0)
		return;
	if (cgroup_is_v2(cg->layout, CGROUP_BLKIO)) {
		slurp(dir, "io.stat", text);
		s->blkio_read_bytes = sum_v2(text, " rbytes=");
		s->blkio_write_bytes = sum_v2(text, " wbytes=");
		s->blkio_read_ops = sum_v2(text, " rios=");
		s->blkio_write_ops = sum_v2(text, " wios=");
		return;
	}
	sum_v1(slurp(dir, "blkio.throttle.io_service_bytes_recursive", text), &s->blkio_read_bytes,
	       &s->blkio_write_bytes);
	sum_v1(slurp(dir, "blkio.throttle.io_serviced_recursive", text), &s->blkio_read_ops, &s->blkio_write_ops);
}

int cgroup_stats_read(const struct cgroup *cg, struct cgroup_stats *ret)
{
	CLEANUP_FREE char *text = calloc(1, TEXT_MAX);
	struct cgroup_stats s = { 0 };

	if (!text)
		return -ENOMEM;
	read_cpu(cg, text, &s);
	read_memory(cg, text, &s);
	read_pids(cg, text, &s);
	read_blkio(cg, text, &s);
	*ret = s;
	return 0;
}
