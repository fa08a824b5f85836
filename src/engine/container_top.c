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
#include "process_table.h"
#include "spec_builder.h"

#define TEXT_MAX_BYTES (4u << 20)

extern char **environ;

void process_table_done(struct process_table *table)
{
	strv_free(&table->titles);
	strv_free(&table->cells);
}

/* Titles of what process_describe() gives. */
static void add_titles(struct process_table *ret)
{
	static const char *const titles[PROCESS_CELLS] = { "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD" };
	for (size_t i = 0; i < ARRAY_LEN(titles); i++)
		strv_add(&ret->titles, titles[i]);
}

static void from_proc(const struct container *c, const pid_t *pids, size_t n, struct process_table *ret)
{
	/* Owners as they are inside. */
	struct process_ids ids = { 0 };
	if (c->userns_slot >= 0)
		ids = (struct process_ids){ USERNS_FIRST_ID + (uint32_t)c->userns_slot * USERNS_SIZE, USERNS_SIZE };
	add_titles(ret);
	for (size_t i = 0; i < n; i++)
		process_describe(pids[i], &ids, &ret->cells);
}

/* Rows of cells, as a guest tells them. */
static int from_guest(const struct container *c, const struct isolation *back_end, struct process_table *ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX_BYTES);
	CLEANUP_STRV struct strv rows = { 0 };
	struct isolation_handle handle = container_handle(c);
	int r = back_end->processes(&handle, &text, err);
	if (r < 0)
		return r;
	add_titles(ret);
	strv_split(&rows, buf_str(&text), '\n');
	for (size_t i = 0; i < rows.n; i++) {
		CLEANUP_STRV struct strv cells = { 0 };
		strv_split(&cells, rows.v[i], '\t');
		if (cells.n == PROCESS_CELLS)
			strv_extend(&ret->cells, &cells);
	}
	return 0;
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
	const struct isolation *back_end = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = isolation_get(c->level, &back_end, err);
	if (r == 0 && back_end->processes && ps_args->n) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "options of ps need the host's processes, and %s has a kernel of its own", c->name);
		err_hint(err, "hull exec %s ps ...      or: hull top %s", c->name, c->name);
	}
	if (r == 0 && back_end->processes)
		return container_is_running(c) ? from_guest(c, back_end, ret, err) :
						 err_set(err, ERR_CONFLICT, 0, "container %s is not running", c->id);
	if (r == 0)
		r = containers_pids(c, &pids, &n, err);
	if (r < 0)
		return r;
	if (ps_args->n)
		return from_ps(ps_args, pids, n, ret, err);
	from_proc(c, pids, n, ret);
	return 0;
}
