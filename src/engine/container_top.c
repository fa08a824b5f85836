/* SPDX-License-Identifier: Apache-2.0 */
#include "container_top.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "containers.h"
#include "fd.h"
#include "spec_builder.h"

#define TEXT_MAX_BYTES (4u << 20)

extern char **environ;

void process_table_done(struct process_table *table)
{
	strv_free(&table->titles);
	strv_free(&table->cells);
}

/* ---- /proc ---- */

struct stat_fields {
	char state;
	int ppid, tty;
	unsigned long long utime, stime, start_ticks;
};

static int read_stat(int dir, struct stat_fields *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	int r = fd_read_file_at(dir, "stat", &text);
	/* The name may hold anything, parentheses too. */
	const char *after = r < 0 ? NULL : strrchr(buf_str(&text), ')');
	if (!after || sscanf(after + 1, " %c %d %*d %*d %d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu", &ret->state,
			     &ret->ppid, &ret->tty, &ret->utime, &ret->stime, &ret->start_ticks) != 6)
		return r < 0 ? r : -EINVAL;
	return 0;
}

/* The command line, or [name]; control characters do not reach the terminal. */
static char *read_command(int dir)
{
	CLEANUP_BUF struct buf text = BUF_INIT(131072);
	if (fd_read_file_at(dir, "cmdline", &text) == 0 && text.len) {
		for (size_t i = 0; i < text.len; i++)
			if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
				text.data[i] = i + 1 == text.len ? '\0' : ' ';
		return str_dup(buf_str(&text));
	}
	buf_clear(&text);
	if (fd_read_file_at(dir, "comm", &text) < 0)
		return str_dup("?");
	return str_printf("[%.*s]", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

/* How long ago a process started. */
static int64_t age_ns(unsigned long long start_ticks)
{
	int64_t since_boot_ns = (int64_t)start_ticks * (1000000000 / sysconf(_SC_CLK_TCK));
	struct timespec boot;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return boot.tv_sec * INT64_C(1000000000) + boot.tv_nsec - since_boot_ns;
}

/* ps's "C": processor time over the life so far, at most 99. */
static unsigned busy_percent(const struct stat_fields *f)
{
	int64_t age = age_ns(f->start_ticks), busy = (int64_t)(f->utime + f->stime) * (1000000000 / sysconf(_SC_CLK_TCK));
	int64_t percent = age > 0 ? busy / (age / 100 + 1) : 0;
	return percent > 99 ? 99 : (unsigned)percent;
}

static char *start_text(unsigned long long ticks)
{
	char out[16];
	struct tm tm;
	int64_t ago_ns = age_ns(ticks);
	time_t start = (time_t)((clock_wall_ns() - ago_ns) / 1000000000);
	localtime_r(&start, &tm);
	strftime(out, sizeof(out), ago_ns < INT64_C(86400) * 1000000000 ? "%H:%M" : "%b%d", &tm);
	return str_dup(out);
}

static char *tty_text(int tty)
{
	unsigned n = (unsigned)major((dev_t)tty);
	return n == 136 ? str_printf("pts/%u", (unsigned)minor((dev_t)tty)) : str_dup("?");
}

/* Owners as they are inside. */
static unsigned inner_id(const struct container *c, uid_t id)
{
	if (c->userns_slot < 0)
		return id;
	uint32_t first = USERNS_FIRST_ID + (uint32_t)c->userns_slot * USERNS_SIZE;
	return id >= first && id - first < USERNS_SIZE ? id - first : id;
}

static void add_process(const struct container *c, pid_t pid, struct process_table *ret)
{
	char path[32];
	struct stat st;
	struct stat_fields f;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	CLEANUP_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Gone meanwhile. */
	if (dir < 0 || fstat(dir, &st) < 0 || read_stat(dir, &f) < 0)
		return;
	CLEANUP_FREE char *command = read_command(dir), *start = start_text(f.start_ticks), *tty = tty_text(f.tty);
	unsigned long long seconds = (f.utime + f.stime) / (unsigned long long)sysconf(_SC_CLK_TCK);
	strv_printf(&ret->cells, "%u", inner_id(c, st.st_uid));
	strv_printf(&ret->cells, "%d", pid);
	strv_printf(&ret->cells, "%d", f.ppid);
	strv_printf(&ret->cells, "%u", busy_percent(&f));
	strv_add(&ret->cells, start);
	strv_add(&ret->cells, tty);
	strv_printf(&ret->cells, "%02llu:%02llu:%02llu", seconds / 3600, seconds / 60 % 60, seconds % 60);
	strv_add(&ret->cells, command);
}

static void from_proc(const struct container *c, const pid_t *pids, size_t n, struct process_table *ret)
{
	static const char *const titles[] = { "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD" };
	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		strv_add(&ret->titles, titles[i]);
	for (size_t i = 0; i < n; i++)
		add_process(c, pids[i], ret);
}

/* ---- ps ---- */

static int run_ps(const struct strv *args, bool is_quiet, struct buf *out, struct err *err)
{
	int pair[2], status = 0;
	pid_t pid;
	CLEANUP_STRV struct strv argv = { 0 };
	strv_add(&argv, "ps");
	strv_extend(&argv, args);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	CLEANUP_FD int read_end = pair[0], write_end = pair[1];
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	int r = posix_spawn_file_actions_adddup2(&actions, write_end, 1);
	if (r == 0 && is_quiet)
		r = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawnp(&pid, "ps", &actions, NULL, argv.v, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		err_set(err, ERR_NOT_FOUND, -r, "run ps");
		err_hint(err, "apt install procps, or leave the ps options out");
		return -r;
	}
	cleanup_fd(&write_end);
	r = fd_read_all(read_end, out);
	cleanup_fd(&read_end);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && status != 0)
		return err_set(err, ERR_INVALID, 0, "ps does not take these options");
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read what ps says") : 0;
}

/* The first @max fields; the last takes the rest of the line. */
static void split_fields(char *line, size_t max, struct strv *out)
{
	for (char *p = line + strspn(line, " "); *p;) {
		size_t len = out->n + 1 == max ? strlen(p) : strcspn(p, " ");
		CLEANUP_FREE char *field = str_ndup(p, len);
		strv_add(out, field);
		p += len;
		p += strspn(p, " ");
	}
}

static bool has_pid(const pid_t *pids, size_t n, const char *text)
{
	uint64_t pid;
	if (str_parse_u64(text, &pid) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint64_t)pids[i] == pid)
			return true;
	return false;
}

static int from_ps(const struct strv *args, const pid_t *pids, size_t n, struct process_table *ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX_BYTES), list = BUF_INIT(TEXT_MAX_BYTES);
	CLEANUP_STRV struct strv lines = { 0 }, with_pids = { 0 };
	/* By number: "-o pid,comm" alone shows the processes of this terminal. Some
	 * options (as f) and some programs called ps do not go with it. */
	int r = buf_append_str(&list, "-q");
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(&list, "%s%d", i ? "," : "", pids[i]);
	strv_extend(&with_pids, args);
	strv_add(&with_pids, buf_str(&list));
	struct err first = ERR_INIT;
	if (r == 0 && run_ps(&with_pids, true, &text, &first) < 0) {
		buf_clear(&text);
		r = run_ps(args, false, &text, err);
	}
	if (r < 0)
		return r;
	strv_split(&lines, buf_str(&text), '\n');
	if (lines.n)
		split_fields(lines.v[0], SIZE_MAX, &ret->titles);
	size_t column = 0;
	while (column < ret->titles.n && !str_eq(ret->titles.v[column], "PID"))
		column++;
	if (column == ret->titles.n)
		return err_set(err, ERR_INVALID, 0, "Couldn't find PID field in ps output");
	for (size_t i = 1; i < lines.n; i++) {
		CLEANUP_STRV struct strv fields = { 0 };
		split_fields(lines.v[i], ret->titles.n, &fields);
		if (fields.n == ret->titles.n && has_pid(pids, n, fields.v[column]))
			strv_extend(&ret->cells, &fields);
	}
	return 0;
}

int containers_top(struct engine *engine, const char *name, const struct strv *ps_args, struct process_table *ret,
		   struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;
	*ret = (struct process_table){ 0 };
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = containers_pids(c, &pids, &n, err);
	if (r < 0)
		return r;
	if (ps_args->n)
		return from_ps(ps_args, pids, n, ret, err);
	from_proc(c, pids, n, ret);
	return 0;
}
