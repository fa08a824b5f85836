/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor of one guest: parent of the process that is its machine, the
 * only one that speaks with its agent. It ends as the workload ends, and the
 * guest never outlives it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "process.h"
#include "supervise.h"
#include "vmm_proto.h"

#define NS_PER_S 1000000000LL
#define BOOT_TIMEOUT_S 60
#define KILL_TIMEOUT_S 3
#define EXIT_LOST 255

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static struct supervisor supervisor;

/* With the machine gone everything in the guest is. Returns how it ended. hull-files,
 * whose work is done with it, ends meanwhile: its socket does. */
static int end_machine(bool is_killed)
{
	siginfo_t info = { 0 };
	if (is_killed)
		(void)!process_signal(GUEST_FD_MACHINE, SIGKILL);
	close(GUEST_FD_FILES);
	while (waitid((idtype_t)P_PIDFD, GUEST_FD_MACHINE, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static void report(struct supervisor *s, const struct err *err)
{
	struct guest_report r = { .kind = err ? GUEST_FAILED : GUEST_STARTED };
	if (err)
		r.err = *err;
	if (s->report < 0)
		return;
	(void)!fd_send(s->report, &r, sizeof(r), NULL, 0);
	cleanup_fd(&s->report);
}

static _Noreturn void fail(struct supervisor *s, const struct err *err)
{
	(void)end_machine(true);
	report(s, err);
	_exit(EXIT_LOST);
}

static const char panic[] = "Kernel panic";

/* Why the kernel gave up, or the last line that it printed. */
static void add_console(const struct supervisor *s, struct err *err)
{
	char line[sizeof(err->why)];
	size_t end = s->tail_len;
	const char *found = memmem(s->tail, s->tail_len, panic, strlen(panic));
	if (found) {
		const char *newline = memchr(found, '\n', end - (size_t)(found - s->tail));
		end = newline ? (size_t)(newline - s->tail) : end;
	}
	while (end && (s->tail[end - 1] == '\n' || s->tail[end - 1] == '\r' || s->tail[end - 1] == '\0'))
		end--;
	size_t from = end;
	while (from && s->tail[from - 1] != '\n' && end - from < sizeof(line) - 1)
		from--;
	for (size_t i = 0; i < end - from; i++)
		line[i] = s->tail[from + i] < ' ' || s->tail[from + i] == 127 ? '?' : s->tail[from + i];
	line[end - from] = '\0';
	if (line[0])
		err_why(err, "it said: %s", line);
}

/* The guest cannot go on; @why is told where the start is waited for, and to the
 * workload's error output after that. */
static _Noreturn void lose(struct supervisor *s, int code, const char *why)
{
	struct err err = ERR_INIT;
	(void)err_set(&err, ERR_SYSTEM, 0, "%s", why);
	add_console(s, &err);
	if (err_is_set(&s->machine_err))
		err_why(&err, "%s", s->machine_err.msg);
	if (s->report >= 0)
		fail(s, &err);
	(void)end_machine(true);
	if (code == EXIT_LOST && s->relay.output[1].source.fd >= 0)
		dprintf(s->relay.output[1].source.fd, "hull: %s%s%s\n", err.msg, *err.why ? ": " : "", err.why);
	_exit(code);
}

/* ---- the agent ---- */

static void send_request(struct supervisor *s)
{
	static char payload[AGENT_PAYLOAD_MAX];
	struct agent_frame f;
	while (agent_read_frame(GUEST_FD_REQUEST, &f, payload) == 0) {
		if (f.type == AGENT_START)
			s->memory_mib = f.arg;
		agent_link_send(&s->agent, f.type, f.session, f.stream, f.arg, payload, f.len);
	}
	close(GUEST_FD_REQUEST);
}

static int workload_frame(struct supervisor *s, const struct agent_frame *f, const char *payload)
{
	if (f->type == AGENT_STATS_ARE)
		return pwrite(GUEST_FD_STATS, payload, f->len, 0) < 0 ? -errno : 0;
	int r = relay_frame(&s->relay, f, payload);
	if (r == 0 && f->type == AGENT_STARTED) {
		loop_timer_stop(&s->loop, &s->boot);
		report(s, NULL);
		/* Not before: giving memory back takes the guest some time. */
		control_limit_memory(s, s->memory_mib);
	}
	return r;
}

/* The rings, or NULL where the descriptors are streams. */
static int map_rings(void **ret)
{
	struct stat st;
	*ret = NULL;
	if (fstat(GUEST_FD_RING, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return 0;
	if (st.st_size < 2 * (off_t)AGENT_RING_MEMORY)
		return -EINVAL;
	void *memory = mmap(NULL, 2 * AGENT_RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, GUEST_FD_RING, 0);
	close(GUEST_FD_RING);
	if (memory == MAP_FAILED)
		return -errno;
	*ret = memory;
	return 0;
}

static void files_lost(void *ctx)
{
	lose(ctx, EXIT_LOST, "the guest has lost its files");
}

static void files_gone(void *ctx, int error)
{
	struct supervisor *s = ctx;
	if (error == -EBADMSG)
		lose(s, EXIT_LOST, "the guest broke the rules of its agent and was ended");
	/* The workload's end has been told with all written; and the guest's own end,
	 * if that is it, says more. */
	s->lost = (struct loop_timer){ .fire = files_lost, .ctx = s };
	if (!s->relay.has_exit)
		loop_timer_set(&s->loop, &s->lost, NS_PER_S / 2);
}

static int open_guest(struct supervisor *s)
{
	char *rings;
	int r = map_rings((void **)&rings);
	if (r < 0)
		return r;
	s->files.gone = files_gone;
	s->files.ctx = s;
	r = rings ? agent_link_open_ring(&s->agent, &s->loop, GUEST_FD_AGENT, rings, true) :
		    agent_link_open(&s->agent, &s->loop, GUEST_FD_AGENT);
	struct stat st = { 0 };
	if (r == 0 && fstat(GUEST_FD_PORT, &st) < 0)
		r = -errno;
	/* The machine may have a device for files, which speaks with hull-files itself. */
	if (r < 0 || S_ISCHR(st.st_mode))
		return r;
	return pump_open(&s->files, &s->loop, GUEST_FD_PORT, rings ? rings + AGENT_RING_MEMORY : NULL, GUEST_FD_FILES);
}

static void agent_frame(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	struct supervisor *s = link->ctx;
	int r = 0;
	if (f->type == AGENT_HELLO) {
		r = s->has_greeted || f->arg != AGENT_VERSION ? -EBADMSG : 0;
		s->has_greeted = true;
		if (r == 0)
			send_request(s);
	} else if (f->type < AGENT_DATA || !s->has_greeted) {
		r = -EBADMSG;
	} else if (f->type == AGENT_NAMES) {
		/* A question that finds no room is asked again. */
		if (s->names.fd >= 0)
			(void)!send(s->names.fd, payload, f->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (f->type == AGENT_OOM) {
		client_tell_oom(s, f->arg);
	} else {
		r = f->session == AGENT_SESSION_WORKLOAD ? workload_frame(s, f, payload) : client_route(s, f, payload);
	}
	if (r < 0)
		lose(s, EXIT_LOST, "the guest broke the rules of its agent and was ended");
}

static void agent_gone(struct agent_link *link, int error)
{
	struct supervisor *s = link->ctx;
	if (error == -EBADMSG)
		lose(s, EXIT_LOST, "the guest broke the rules of its agent and was ended");
	/* The machine's end says more. */
}

static void workload_ended(struct relay *r, int code)
{
	(void)end_machine(true);
	_exit(code);
}

static void workload_failed(struct relay *r, const struct err *err)
{
	fail(r->ctx, err);
}

/* ---- the machine ---- */

static void take_console(struct supervisor *s)
{
	char data[1024];
	ssize_t n = read(s->console.fd, data, sizeof(data));
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		int fd = loop_remove(&s->loop, &s->console);
		cleanup_fd(&fd);
		return;
	}
	if (n <= 0)
		return;
	size_t drop = s->tail_len + (size_t)n > CONSOLE_TAIL ? s->tail_len + (size_t)n - CONSOLE_TAIL : 0;
	memmove(s->tail, s->tail + drop, s->tail_len - drop);
	s->tail_len -= drop;
	memcpy(s->tail + s->tail_len, data, (size_t)n);
	s->tail_len += (size_t)n;
}

static void console_ready(void *ctx, uint32_t events)
{
	take_console(ctx);
}

/* A kernel that panics resets its machine then: it has said why. */
static const char *told_end(const struct supervisor *s, int code)
{
	static const struct {
		int code;
		const char *what;
	} ends[] = {
		{ VMM_END_RESET, "the guest's kernel reset its machine" }, { VMM_END_TRIPLE_FAULT, "the guest's kernel crashed" },
		{ VMM_END_PANIC, "the guest's kernel panicked" },	   { VMM_END_FAULT, "the host's KVM could not go on" },
	};
	if (memmem(s->tail, s->tail_len, panic, strlen(panic)))
		return "the guest's kernel panicked";
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (ends[i].code == code)
			return ends[i].what;
	return "the guest's kernel ended early";
}

static void machine_ended(void *ctx, uint32_t events)
{
	struct supervisor *s = ctx;
	(void)loop_remove(&s->loop, &s->machine);
	/* The workload's end has been told: its output is still being written. */
	if (s->relay.has_exit)
		return;
	int code = end_machine(false);
	if (s->console.fd >= 0)
		take_console(s);
	control_drain(s);
	lose(s, code == 128 + SIGKILL ? code : EXIT_LOST, told_end(s, code));
}

static void names_ready(void *ctx, uint32_t events)
{
	struct supervisor *s = ctx;
	char message[AGENT_NAMES_MAX];
	ssize_t n = recv(s->names.fd, message, sizeof(message), MSG_DONTWAIT);
	if (n > 0)
		agent_link_send(&s->agent, AGENT_NAMES, 0, 0, 0, message, (size_t)n);
}

static void boot_timed_out(void *ctx)
{
	lose(ctx, EXIT_LOST, "the guest did not come up in time");
}

static void kill_timed_out(void *ctx)
{
	lose(ctx, 128 + SIGKILL, "the guest was killed");
}

void supervise_kill_soon(struct supervisor *s)
{
	s->kill = (struct loop_timer){ .fire = kill_timed_out, .ctx = s, .next = s->kill.next, .at_ns = s->kill.at_ns,
				       .is_set = s->kill.is_set };
	if (!s->kill.is_set)
		loop_timer_set(&s->loop, &s->kill, KILL_TIMEOUT_S * NS_PER_S);
}

static int watch(struct supervisor *s, struct loop_source *source, int fd, void (*ready)(void *, uint32_t))
{
	*source = (struct loop_source){ .fd = fd, .ready = ready, .ctx = s };
	int r = fd_set_nonblock(fd, true);
	return r < 0 ? r : loop_watch(&s->loop, source, EPOLLIN);
}

void supervise(struct relay *relay)
{
	struct supervisor *s = &supervisor;
	struct err err = ERR_INIT;
	s->report = GUEST_FD_REPORT;
	s->relay = *relay;
	s->relay.link = &s->agent;
	s->relay.session = AGENT_SESSION_WORKLOAD;
	s->relay.ended = workload_ended;
	s->relay.failed = workload_failed;
	s->relay.ctx = s;
	s->agent.frame = agent_frame;
	s->agent.gone = agent_gone;
	s->agent.ctx = s;
	clients_init(s);
	int r = loop_init(&s->loop);
	if (r == 0)
		r = relay_open(&s->relay, &s->loop);
	if (r == 0)
		r = open_guest(s);
	if (r == 0)
		r = watch(s, &s->listener, GUEST_FD_LISTEN, client_accept);
	if (r == 0)
		r = control_open(s);
	if (r == 0)
		r = watch(s, &s->console, GUEST_FD_CONSOLE, console_ready);
	struct stat st;
	s->names.fd = -1;
	if (r == 0 && fstat(GUEST_FD_NAMES, &st) == 0 && S_ISSOCK(st.st_mode))
		r = watch(s, &s->names, GUEST_FD_NAMES, names_ready);
	s->machine = (struct loop_source){ .fd = GUEST_FD_MACHINE, .ready = machine_ended, .ctx = s };
	if (r == 0)
		r = loop_watch(&s->loop, &s->machine, EPOLLIN);
	s->boot = (struct loop_timer){ .fire = boot_timed_out, .ctx = s };
	loop_timer_set(&s->loop, &s->boot, BOOT_TIMEOUT_S * NS_PER_S);
	if (r == 0)
		r = loop_run(&s->loop);
	(void)err_set(&err, ERR_SYSTEM, r, "supervise the guest");
	fail(s, &err);
}
