/* SPDX-License-Identifier: Apache-2.0 */
/* The workload and what is executed beside it. A session begins with its first
 * document or request and ends when its process has ended, all its output has
 * been sent, and the host has been told. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "container.h"
#include "fd.h"
#include "process_table.h"

static void drop_documents(struct session *s)
{
	for (int i = 0; i < AGENT_DOC_COUNT; i++)
		buf_free(&s->documents[i]);
	s->documents_len = 0;
}

static struct session *find(struct agent *a, uint32_t id)
{
	for (size_t i = 0; i < AGENT_SESSIONS_MAX; i++)
		if (a->sessions[i].agent && a->sessions[i].id == id)
			return &a->sessions[i];
	return NULL;
}

static struct session *add(struct agent *a, uint32_t id)
{
	for (size_t i = 0; i < AGENT_SESSIONS_MAX; i++) {
		struct session *s = &a->sessions[i];
		if (s->agent)
			continue;
		*s = (struct session){ .agent = a, .id = id, .pty = -1, .launch.fd = -1, .unread = { -1, -1 }, .input.source.fd = -1,
				       .control.fd = -1 };
		s->output[0].source.fd = s->output[1].source.fd = -1;
		for (int d = 0; d < AGENT_DOC_COUNT; d++)
			s->documents[d] = BUF_INIT(AGENT_DOCUMENTS_MAX);
		return s;
	}
	return NULL;
}

static void close_output(struct session *s)
{
	for (int i = 0; i < 2; i++) {
		cleanup_fd(&s->unread[i]);
		agent_source_close(&s->output[i]);
	}
}

static void end(struct session *s)
{
	drop_documents(s);
	cleanup_fd(&s->pty);
	int control = loop_remove(&s->agent->loop, &s->control);
	cleanup_fd(&control);
	agent_sink_close(&s->input);
	close_output(s);
	s->agent = NULL;
}

static void fail(struct session *s, const struct err *err)
{
	if (!s->is_abandoned)
		agent_link_send_error(&s->agent->link, s->id, err);
	end(s);
}

/* ---- figures ---- */

static int read_stats(struct agent *a, struct agent_stats *ret, struct err *err)
{
	struct isolation_stats s = { 0 };
	int r = isolation_container.stats(&a->handle, &s, err);
	if (r < 0)
		return r;
	*ret = (struct agent_stats){ .memory_total_bytes = s.memory_total_bytes,
				     .memory_inactive_file_bytes = s.memory_inactive_file_bytes,
				     .memory_max_bytes = s.memory_max_bytes,
				     .pids = s.pids,
				     .oom_kills = s.oom_kills };
	struct sysinfo machine;
	if (sysinfo(&machine) == 0)
		ret->machine_bytes = (uint64_t)machine.totalram * machine.mem_unit;
	return 0;
}

static void memory_event(void *ctx, uint32_t events)
{
	struct agent *a = ctx;
	struct agent_stats stats;
	struct err err = ERR_INIT;
	char data[4096];
	while (read(a->memory.fd, data, sizeof(data)) > 0)
		continue;
	if (read_stats(a, &stats, &err) < 0 || stats.oom_kills <= a->oom_kills)
		return;
	a->oom_kills = stats.oom_kills;
	agent_link_send(&a->link, AGENT_OOM, 0, 0, (uint32_t)stats.oom_kills, NULL, 0);
}

static void watch_memory(struct agent *a)
{
	struct err err = ERR_INIT;
	int fd = -1;
	/* Without a limit nobody is killed. */
	if (isolation_container.watch_memory(&a->handle, &fd, &err) < 0)
		return;
	a->memory = (struct loop_source){ .fd = fd, .ready = memory_event, .ctx = a };
	(void)!fd_set_nonblock(fd, true);
	(void)!loop_watch(&a->loop, &a->memory, EPOLLIN);
}

/* All in one window: long command lines are cut when there are many. */
static void answer_top(struct agent *a, uint32_t session)
{
	struct err err = ERR_INIT;
	CLEANUP_FREE pid_t *pids = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(AGENT_WINDOW);
	const struct process_ids ids = { 0 };
	size_t n = 0;
	int r = isolation_container.pids(&a->handle, &pids, &n, &err);
	size_t longest = n ? AGENT_WINDOW / n : 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		CLEANUP_STRV struct strv cells = { 0 };
		CLEANUP_FREE char *row = NULL;
		process_describe(pids[i], &ids, &cells);
		row = strv_join(&cells, "\t");
		if (cells.n == PROCESS_CELLS)
			r = buf_printf(&text, "%.*s\n", longest > 1 ? (int)longest - 1 : 0, row);
	}
	if (r < 0 && err_is_set(&err)) {
		agent_link_send_error(&a->link, session, &err);
		return;
	}
	for (size_t done = 0; done < text.len; done += AGENT_PAYLOAD_MAX)
		agent_link_send(&a->link, AGENT_DATA, session, AGENT_STDOUT, 0, text.data + done,
				text.len - done < AGENT_PAYLOAD_MAX ? text.len - done : AGENT_PAYLOAD_MAX);
	agent_link_send(&a->link, AGENT_OK, session, 0, 0, NULL, 0);
}

static void answer_stats(struct agent *a, uint32_t session)
{
	struct agent_stats stats;
	struct err err = ERR_INIT;
	if (read_stats(a, &stats, &err) < 0)
		agent_link_send_error(&a->link, session, &err);
	else
		agent_link_send(&a->link, AGENT_STATS_ARE, session, 0, 0, &stats, sizeof(stats));
}

static void answer_pause(struct agent *a, uint32_t session, bool pause)
{
	struct err err = ERR_INIT;
	int r = a->handle.pid <= 0 ? err_set(&err, ERR_CONFLICT, 0, "container is not running") :
		pause		   ? isolation_container.pause(&a->handle, &err) :
				     isolation_container.resume(&a->handle, &err);
	if (r < 0)
		agent_link_send_error(&a->link, session, &err);
	else
		agent_link_send(&a->link, AGENT_OK, session, 0, 0, NULL, 0);
}

/* ---- the end of a process ---- */

static void tell_exit(struct session *s);

static bool was_killed_for_memory(struct agent *a, const struct session *s)
{
	struct agent_stats stats;
	struct err err = ERR_INIT;
	if (s->code != 128 + SIGKILL || read_stats(a, &stats, &err) < 0)
		return false;
	return stats.oom_kills > 0;
}

/* Whoever is told of the end may read what was written, from outside. By another
 * process: it may take long. */
static void start_sync(struct agent *a, struct session *s)
{
	s->is_synced = true;
	if (a->syncer)
		return;
	a->syncer = fork();
	if (a->syncer == 0) {
		sync();
		_exit(0);
	}
	if (a->syncer < 0)
		tell_exit(s);
}

static void tell_exit(struct session *s)
{
	struct agent *a = s->agent;
	bool is_workload = s->id == AGENT_SESSION_WORKLOAD;
	/* All of them: what was written last comes out of the buffer only now. */
	if (!s->has_ended || s->output[0].source.fd >= 0 || s->output[1].source.fd >= 0)
		return;
	if (is_workload && !s->is_synced) {
		start_sync(a, s);
		return;
	}
	if (is_workload)
		answer_stats(a, s->id);
	if (!s->is_abandoned)
		agent_link_send(&a->link, AGENT_EXIT, s->id, is_workload && was_killed_for_memory(a, s) ? AGENT_EXIT_OOM : 0,
				(uint32_t)s->code, NULL, 0);
	end(s);
}

static void output_done(void *ctx)
{
	tell_exit(ctx);
}

static bool is_launching(const struct agent *a)
{
	for (size_t i = 0; i < AGENT_SESSIONS_MAX; i++)
		if (a->sessions[i].agent && a->sessions[i].launch.fd >= 0)
			return true;
	return false;
}

/* Orphans of the guest's end here, too; they are forgotten as soon as nothing is
 * being launched, before their numbers are used again. */
static void remember(struct agent *a, pid_t pid, int status)
{
	if (!is_launching(a))
		a->early_n = 0;
	else
		a->early[a->early_n++ % EARLY_MAX] = (struct early_end){ pid, status };
}

static void ended(struct session *s, int status)
{
	s->pid = 0;
	s->has_ended = true;
	s->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	copy_drain(s);
	agent_source_drain(&s->output[0]);
	if (s->agent)
		agent_source_drain(&s->output[1]);
	if (s->agent)
		tell_exit(s);
}

/* Whether the process of @s has ended before it was known. */
static void look_for_early_end(struct session *s)
{
	struct agent *a = s->agent;
	for (size_t i = 0; i < EARLY_MAX && i < a->early_n; i++)
		if (s->pid > 0 && a->early[i].pid == s->pid) {
			a->early[i].pid = 0;
			ended(s, a->early[i].status);
			return;
		}
}

void session_child_ended(struct agent *a, pid_t pid, int status)
{
	if (pid == a->syncer) {
		struct session *workload = find(a, AGENT_SESSION_WORKLOAD);
		if (workload)
			tell_exit(workload);
		return;
	}
	for (size_t i = 0; i < AGENT_SESSIONS_MAX; i++)
		if (a->sessions[i].agent && a->sessions[i].pid == pid) {
			ended(&a->sessions[i], status);
			return;
		}
	remember(a, pid, status);
}

/* ---- the start of one ---- */

static int adopt_pty(struct session *s, int pty)
{
	struct agent_link *link = &s->agent->link;
	int out = fcntl(pty, F_DUPFD_CLOEXEC, 0), in = fcntl(pty, F_DUPFD_CLOEXEC, 0);
	s->pty = pty;
	if (out < 0 || in < 0)
		return -errno;
	(void)!fd_set_nonblock(pty, true);
	int r = agent_sink_open(&s->input, link, s->id, AGENT_STDIN, in, false);
	if (r == 0)
		r = agent_source_open(&s->output[0], link, s->id, AGENT_STDOUT, out);
	s->output[0].is_patient = true;
	return r;
}

/* Its start has been told: nothing that it says comes before. */
static int open_output(struct session *s)
{
	int r = 0;
	for (int i = 0; i < 2 && r == 0; i++) {
		if (s->unread[i] < 0)
			continue;
		r = agent_source_open(&s->output[i], &s->agent->link, s->id, (uint16_t)(AGENT_STDOUT + i), TAKE_FD(s->unread[i]));
		s->output[i].is_patient = true;
	}
	return r;
}

static void launched(void *ctx, uint32_t events)
{
	struct session *s = ctx;
	struct agent *a = s->agent;
	struct launched res;
	int pty = -1;
	CLEANUP_FD int sock = loop_remove(&a->loop, &s->launch);
	launch_receive(sock, &res, &pty);
	if (res.r < 0) {
		fail(s, &res.err);
		return;
	}
	s->is_started = true;
	s->pid = res.pid;
	if (s->id == AGENT_SESSION_WORKLOAD) {
		a->handle = res.handle;
		watch_memory(a);
	}
	if (!s->is_abandoned)
		agent_link_send(&a->link, AGENT_STARTED, s->id, 0, (uint32_t)res.pid, NULL, 0);
	int r = pty >= 0 ? adopt_pty(s, pty) : open_output(s);
	if (r < 0 || s->is_abandoned)
		(void)kill(s->pid, SIGKILL);
	look_for_early_end(s);
}

/* Ours go into the session, theirs to the new process. */
static int make_stdio(struct session *s, int theirs[3], struct err *err)
{
	struct agent_link *link = &s->agent->link;
	int r = 0;
	for (int i = 0; i < 3 && r == 0; i++) {
		int p[2];
		if (pipe2(p, O_CLOEXEC) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
		theirs[i] = p[i != 0];
		if (i == 0) {
			r = agent_sink_open(&s->input, link, s->id, AGENT_STDIN, p[1], false);
		} else {
			s->unread[i - 1] = p[0];
			r = fd_set_nonblock(p[0], true);
		}
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set up a pipe") : 0;
}

static int launch(struct session *s, const struct spec_process *process, const struct spec_process *exec, struct err *err)
{
	struct launch_order order = { .process = exec, .stdio = { -1, -1, -1 } };
	int sock = -1;
	if (!is_launching(s->agent))
		s->agent->early_n = 0;
	s->output[0].done = s->output[1].done = output_done;
	s->output[0].ctx = s->output[1].ctx = s;
	int r = process->terminal ? 0 : make_stdio(s, order.stdio, err);
	if (r == 0)
		r = launch_fork(s->agent, &order, &s->launcher, &sock, err);
	for (int i = 0; i < 3; i++)
		cleanup_fd(&order.stdio[i]);
	if (r < 0)
		return r;
	s->launch = (struct loop_source){ .fd = sock, .ready = launched, .ctx = s };
	r = loop_watch(&s->agent->loop, &s->launch, EPOLLIN);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "watch the launcher") : 0;
}

/* ---- requests ---- */

static int write_files(const struct buf *b, struct err *err)
{
	CLEANUP_FD int dir = open(AGENT_FILES_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t at = 0; at < b->len;) {
		struct agent_file f;
		char name[64];
		if (b->len - at < sizeof(f))
			return err_set(err, ERR_INVALID, 0, "bad files from the host");
		memcpy(&f, b->data + at, sizeof(f));
		at += sizeof(f);
		if (f.name_len >= sizeof(name) || f.name_len > b->len - at || f.data_len > b->len - at - f.name_len)
			return err_set(err, ERR_INVALID, 0, "bad files from the host");
		memcpy(name, b->data + at, f.name_len);
		name[f.name_len] = '\0';
		CLEANUP_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, f.mode & 0777);
		int r = fd < 0 ? -errno : fd_write_all(fd, b->data + at + f.name_len, f.data_len);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "write %s in the guest", name);
		at += f.name_len + f.data_len;
	}
	return 0;
}

static bool uses_files(const struct runtime_spec *spec)
{
	bool is_so = spec->upper != NULL;
	for (size_t i = 0; i < spec->mounts_n; i++)
		is_so |= spec->mounts[i].source && str_starts_with(spec->mounts[i].source, AGENT_SHARES_DIR "/");
	return is_so;
}

static int prepare(struct session *s, struct err *err)
{
	struct agent *a = s->agent;
	const struct buf *text = &s->documents[AGENT_DOC_SPEC], *filter = &s->documents[AGENT_DOC_FILTER];
	int r = runtime_spec_parse(buf_str(text), text->len, &a->spec, err);
	if (r == 0)
		r = write_files(&s->documents[AGENT_DOC_FILES], err);
	if (r == 0 && filter->len && (r = fd_replace_file_at(AT_FDCWD, AGENT_FILTER_PATH, filter->data, filter->len, 0600, false)) < 0)
		r = err_set(err, ERR_SYSTEM, r, "write the seccomp filter in the guest");
	if (r < 0)
		return r;
	if (a->spec->init_path) {
		free(a->spec->init_path);
		a->spec->init_path = str_dup(AGENT_FILES_DIR "/" AGENT_INIT_NAME);
	}
	r = interfaces_set_up(a->spec->interfaces, a->spec->interfaces_n, err);
	if (r == 0 && a->spec->has_name_sockets)
		r = names_start(a, err);
	if (r == 0 && uses_files(a->spec))
		r = files_mount(&a->ports, err);
	return r < 0 ? r : storage_mount(a->spec, err);
}

static void start(struct session *s)
{
	struct agent *a = s->agent;
	struct err err = ERR_INIT;
	int r = a->spec || s->id != AGENT_SESSION_WORKLOAD ? err_set(&err, ERR_CONFLICT, 0, "the guest has its workload already") :
							     prepare(s, &err);
	if (r == 0)
		r = launch(s, &a->spec->process, NULL, &err);
	drop_documents(s);
	if (r < 0)
		fail(s, &err);
}

static void exec(struct session *s)
{
	struct agent *a = s->agent;
	struct err err = ERR_INIT;
	struct spec_process process = { 0 };
	const struct buf *text = &s->documents[AGENT_DOC_SPEC];
	int r = a->handle.pid <= 0 ? err_set(&err, ERR_CONFLICT, 0, "container is not running") :
				     runtime_spec_parse_process(buf_str(text), text->len, &process, &err);
	if (r == 0)
		r = launch(s, &process, &process, &err);
	spec_process_done(&process);
	drop_documents(s);
	if (r < 0)
		fail(s, &err);
}

static int check_memory(const struct spec_resources *res, struct err *err)
{
	struct sysinfo machine;
	if (res->memory_limit_bytes <= 0 || sysinfo(&machine) < 0 ||
	    (uint64_t)res->memory_limit_bytes <= (uint64_t)machine.totalram * machine.mem_unit)
		return 0;
	int r = err_set(err, ERR_UNSUPPORTED, 0, "the guest has %llu MiB of memory, which it was started with",
			(unsigned long long)((uint64_t)machine.totalram * machine.mem_unit >> 20));
	err_hint(err, "stop it, hull update, start it");
	return r;
}

/* Bring up processors that the machine has, until @n are at work. */
static int add_processors(unsigned n, struct err *err)
{
	for (unsigned i = 1; i < n; i++) {
		CLEANUP_FREE char *path = str_printf("/sys/devices/system/cpu/cpu%u/online", i);
		CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC);
		char state = 0;
		if (fd < 0) {
			int r = err_set(err, ERR_UNSUPPORTED, 0, "the guest has at most %u processors, which it was started with", i);
			err_hint(err, "stop it, hull update, start it");
			return r;
		}
		if (read(fd, &state, 1) == 1 && state == '0' && write(fd, "1", 1) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "bring up processor %u of the guest", i);
	}
	return 0;
}

static void update(struct session *s, unsigned processors)
{
	struct agent *a = s->agent;
	struct err err = ERR_INIT;
	struct spec_resources res = { 0 };
	const struct buf *text = &s->documents[AGENT_DOC_SPEC];
	int r = runtime_spec_parse_resources(buf_str(text), text->len, &res, &err);
	if (r == 0)
		r = check_memory(&res, &err);
	if (r == 0)
		r = add_processors(processors, &err);
	if (r == 0)
		r = isolation_container.update(&a->handle, &res, &err);
	spec_resources_done(&res);
	if (r < 0)
		agent_link_send_error(&a->link, s->id, &err);
	else
		agent_link_send(&a->link, AGENT_OK, s->id, 0, 0, NULL, 0);
	end(s);
}

static int connect_network(struct session *s, struct err *err)
{
	const struct buf *text = &s->documents[AGENT_DOC_SPEC];
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = NULL;
	int r = runtime_spec_parse(buf_str(text), text->len, &spec, err);
	return r < 0 ? r : networks_connect(s->agent, spec, err);
}

static void change_network(struct session *s, const struct agent_frame *f, const char *payload)
{
	struct agent *a = s->agent;
	struct agent_interface interface;
	struct agent_routes routes;
	struct err err = ERR_INIT;
	int r = 0;
	if (f->type == AGENT_ROUTES) {
		memcpy(&routes, payload, sizeof(routes));
		r = networks_route(&routes, &err);
	} else {
		memcpy(&interface, payload, sizeof(interface));
		r = f->type == AGENT_CONNECT ? connect_network(s, &err) : networks_disconnect(&interface, &err);
	}
	if (r < 0)
		agent_link_send_error(&a->link, s->id, &err);
	else
		agent_link_send(&a->link, AGENT_OK, s->id, 0, 0, NULL, 0);
	end(s);
}

static void copy_files(struct session *s, bool sends)
{
	struct err err = ERR_INIT;
	s->output[0].done = output_done;
	s->output[0].ctx = s;
	int r = copy_start(s, sends, &err);
	drop_documents(s);
	if (r < 0)
		fail(s, &err);
}

static void document(struct session *s, const struct agent_frame *f, const char *payload)
{
	if (f->len > AGENT_DOCUMENTS_MAX - s->documents_len || buf_append(&s->documents[f->stream], payload, f->len) < 0) {
		struct err err = ERR_INIT;
		(void)err_set(&err, ERR_INVALID, 0, "the request is too long");
		fail(s, &err);
		return;
	}
	s->documents_len += f->len;
}

static void send_signal(struct session *s, const struct agent_frame *f)
{
	struct err err = ERR_INIT;
	if (s->id == AGENT_SESSION_WORKLOAD && f->stream & AGENT_SIGNAL_ALL)
		(void)isolation_container.signal(&s->agent->handle, (int)f->arg, true, &err);
	else if (s->pid > 0)
		(void)kill(s->pid, (int)f->arg);
}

static void abandon(struct session *s)
{
	s->is_abandoned = true;
	close_output(s);
	if (s->pid > 0)
		(void)kill(s->pid, SIGKILL);
	else if (s->launch.fd < 0)
		end(s);
}

static void resize(struct session *s, uint32_t arg)
{
	struct winsize size = { .ws_row = (unsigned short)(arg >> 16), .ws_col = (unsigned short)arg };
	if (s->pty >= 0)
		(void)ioctl(s->pty, TIOCSWINSZ, &size);
}

static void in_session(struct session *s, const struct agent_frame *f, const char *payload)
{
	switch (f->type) {
	case AGENT_DOCUMENT:
		document(s, f, payload);
		break;
	case AGENT_START:
		start(s);
		break;
	case AGENT_EXEC:
		exec(s);
		break;
	case AGENT_UPDATE:
		update(s, f->stream);
		break;
	case AGENT_FILES:
		copy_files(s, f->arg);
		break;
	case AGENT_CONNECT:
	case AGENT_DISCONNECT:
	case AGENT_ROUTES:
		change_network(s, f, payload);
		break;
	case AGENT_COPY:
		copy_told(s, payload, f->len);
		break;
	case AGENT_SIGNAL:
		send_signal(s, f);
		break;
	case AGENT_RESIZE:
		resize(s, f->arg);
		break;
	case AGENT_KILL:
		abandon(s);
		break;
	case AGENT_DATA:
		(void)!agent_sink_data(&s->input, payload, f->len);
		break;
	case AGENT_EOF:
		agent_sink_eof(&s->input);
		break;
	case AGENT_CREDIT:
		if (f->stream == AGENT_STDOUT || f->stream == AGENT_STDERR)
			agent_source_credit(&s->output[f->stream - 1], f->arg);
		break;
	default:
		break;
	}
}

void session_frame(struct agent *a, const struct agent_frame *f, const char *payload)
{
	struct session *s = find(a, f->session);
	bool opens = f->type == AGENT_DOCUMENT || f->type == AGENT_START || f->type == AGENT_EXEC || f->type == AGENT_UPDATE ||
		     f->type == AGENT_FILES || f->type == AGENT_CONNECT || f->type == AGENT_DISCONNECT || f->type == AGENT_ROUTES;
	if (f->type == AGENT_SHUTDOWN)
		boot_power_off();
	if (f->type == AGENT_STATS) {
		answer_stats(a, f->session);
		return;
	}
	if (f->type == AGENT_PAUSE) {
		answer_pause(a, f->session, f->arg);
		return;
	}
	if (f->type == AGENT_NAMES) {
		names_answer(a, payload, f->len);
		return;
	}
	if (f->type == AGENT_TOP) {
		answer_top(a, f->session);
		return;
	}
	if (!s && opens && !(s = add(a, f->session))) {
		struct err err = ERR_INIT;
		(void)err_set(&err, ERR_CONFLICT, 0, "too many exec sessions");
		agent_link_send_error(&a->link, f->session, &err);
	}
	/* What comes for one that has ended crossed its end on the way. */
	if (s)
		in_session(s, f, payload);
}
