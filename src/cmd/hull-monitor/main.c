/* SPDX-License-Identifier: Apache-2.0 */
/* hull-monitor ID [namespaces]: parent of one workload. Spawned by hull with a connection
 * as descriptor 3 (monitor_proto.h), HULL_ROOT and HULL_RUN in the environment.
 * "namespaces": it is going to be a container with all namespaces of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "fault.h"
#include "memory_trim.h"
#include "monitor.h"
#include "str.h"

static struct monitor monitor;

static int open_dir(const char *env, const char *otherwise, int *ret)
{
	const char *path = getenv(env);
	*ret = open(str_is_empty(path) ? otherwise : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

static int open_workload(int top, const char *id, int *ret)
{
	char path[128];
	snprintf(path, sizeof(path), "workloads/%s", id);
	*ret = openat(top, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret < 0 ? -errno : 0;
}

/* The last thing the machine should kill for memory is what keeps the record. */
static void protect_from_oom(struct monitor *m)
{
	char text[16] = "";
	CLEANUP_FD int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int64_t old = 0;
	text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
	if (str_parse_i64(text, &old) == 0)
		m->old_oom_score_adj = (int)old;
	m->has_oom_score = pwrite(fd, "-999", 4, 0) == 4;
}

static void asked_to_end(void *ctx, uint32_t events)
{
	struct monitor *m = ctx;
	struct signalfd_siginfo info;
	if (read(m->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	/* The machine goes down: an orderly stop, which no policy undoes now. */
	m->restart_refused = true;
	if (lifecycle_is_up(m) || m->state.status == RUN_RESTARTING)
		lifecycle_stop(m, MON_DEFAULT, 0, false);
	else if (!m->was_started)
		m->loop.is_quitting = true;
}

static void watch_signals(struct monitor *m)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return;
	m->signals = (struct loop_source){ .fd = fd, .ready = asked_to_end, .ctx = m };
	(void)!loop_watch(&m->loop, &m->signals, EPOLLIN);
}

static void trim(void *ctx)
{
	struct monitor *m = ctx;
	/* Not at the start: most workloads that run out at once end by it. */
	memory_watch(m);
	if (m->log.ops && m->log.ops->trim)
		m->log.ops->trim();
	memory_trim();
}

void monitor_trim_soon(struct monitor *m)
{
	m->trim.fire = trim;
	m->trim.ctx = m;
	loop_timer_set(&m->loop, &m->trim, 200 * NS_PER_MS);
}

/* What can wait until the launcher is on its way. */
void monitor_late_init(struct monitor *m)
{
	struct err err = ERR_INIT;
	if (m->has_late_init)
		return;
	m->has_late_init = true;
	client_listen(m);
	watch_signals(m);
	/* A log that cannot be opened loses lines; it does not stop the workload. */
	if (log_sink_open(&m->log, m->conf, m->state_dirfd, &err) < 0) {
		m->log.ops = NULL;
		char reason[300];
		snprintf(reason, sizeof(reason), "reason=%.250s", err.msg);
		monitor_event(m, "log_lost", reason, NULL);
	}
}

/* Nothing of the caller's stays: a monitor that kept a pipe of `hull run | cat`
 * open would keep cat waiting. */
static void leave_caller(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3 && null >= 0; i++)
		(void)dup2(null, i);
	if (null > HULL_SOCKET)
		close(null);
	(void)setsid();
	(void)umask(077);
	(void)!chdir("/");
	(void)prctl(PR_SET_DUMPABLE, 0);
	sigset_t set;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	/* What the caller ignores, as under nohup(1), the workload need not. */
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, s == SIGPIPE ? SIG_IGN : SIG_DFL);
}

/* hull spawns a monitor before it knows that the workload can be started, so
 * that both get ready at the same time: until it speaks, nothing is touched.
 * False: it never will. */
static bool wait_for_hull(void)
{
	struct pollfd p = { .fd = HULL_SOCKET, .events = POLLIN };
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		continue;
	return p.revents & POLLIN;
}

/* What needs no word from hull, while it writes down what the workload is. The first
 * of all hulls on this machine has yet to make the folders. */
static int init_early(struct monitor *m, struct err *err)
{
	(void)!open_dir("HULL_RUN", "/run/hull", &m->run_dirfd);
	protect_from_oom(m);
	return loop_init(&m->loop) < 0 ? err_set(err, ERR_SYSTEM, 0, "make an event loop") : 0;
}

static int open_state(struct monitor *m, const char *id)
{
	CLEANUP_FD int root = -1;
	int r = open_dir("HULL_ROOT", "/var/lib/hull", &root);
	return r == 0 ? open_workload(root, id, &m->state_dirfd) : r;
}

/* The workload is ours, for as long as we live. Negative: as errno. */
static int claim(struct monitor *m, const char *id)
{
	int r = m->run_dirfd < 0 ? open_dir("HULL_RUN", "/run/hull", &m->run_dirfd) : 0;
	if (r == 0 && m->dirfd < 0)
		r = open_workload(m->run_dirfd, id, &m->dirfd);
	if (r == 0 && m->state_dirfd < 0)
		r = open_state(m, id);
	return r;
}

/* hull has gone, or thought better of it. The lock is held until nobody is left who
 * could make anything of the workload's. */
static int leave(struct monitor *m)
{
	cleanup_fd(&m->spare.sock);
	while (wait(NULL) > 0 || errno == EINTR)
		continue;
	return 0;
}

static int lock(struct monitor *m, const char *id, struct err *err)
{
	int r = claim(m, id);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open the workload's folders");
	r = run_state_lock(m->dirfd, &m->lock_fd);
	if (r < 0)
		return err_set(err, ERR_CONFLICT, r, "another monitor has the workload");
	FAULT_HERE("monitor.locked");
	return 0;
}

static int init(struct monitor *m, struct err *err)
{
	struct run_state before;
	int r = monitor_conf_read(m->dirfd, &m->conf, err);
	if (r == 0)
		r = isolation_get((enum isolation_level)m->conf->isolation, &m->isolation, err);
	if (r < 0)
		return r;
	m->state.status = RUN_CREATED;
	m->state.monitor_pid = getpid();
	if (run_state_read(m->dirfd, &before) == 0) {
		m->state.generation_start = before.generation_start;
		if (before.status == RUN_RESTARTING) {
			m->state.restart_count = before.restart_count + 1;
			m->state.restart_delay_ms = before.restart_delay_ms;
		}
	}
	lifecycle_save(m);
	FAULT_HERE("monitor.created");
	return 0;
}

/* Whoever looks after a dead hull's container asks for the workload's lock: with it
 * taken while hull lives, nothing is made that another one has already cleaned up. */
static bool hull_is_there(void)
{
	struct pollfd p = { .fd = HULL_SOCKET, .events = POLLRDHUP };
	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLHUP | POLLRDHUP));
}

/* The words that come before all others. False: no other will come. *ret is what came of
 * taking the workload, once there was a word to do so, with @err. */
static bool listen_early(struct monitor *m, const char *id, int *ret, struct err *err)
{
	struct mon_msg msg;
	while (wait_for_hull()) {
		ssize_t n = recv(HULL_SOCKET, &msg, sizeof(msg), MSG_PEEK);
		if (n <= 0)
			return false;
		if (n != (ssize_t)sizeof(msg) || msg.type != MON_DESCRIBED)
			return true;
		if (recv(HULL_SOCKET, &msg, sizeof(msg), 0) <= 0 || *ret <= 0)
			continue;
		/* What the launcher makes of it has the workload's name: not without its
		 * lock. */
		*ret = lock(m, id, err);
		if (*ret < 0)
			continue;
		if (!hull_is_there())
			return false;
		launch_expect(m);
		*ret = init(m, err);
	}
	return false;
}

int main(int argc, char **argv)
{
	struct monitor *m = &monitor;
	struct err err = ERR_INIT;
	struct stat st;
	if (argc == 2 && str_eq(argv[1], "--faults")) {
		fault_list(STDOUT_FILENO);
		return 0;
	}
	bool makes_ahead = argc == 3 && str_eq(argv[2], "namespaces");
	if ((argc != 2 && !makes_ahead) || strlen(argv[1]) > 64 || strchr(argv[1], '/') || fstat(HULL_SOCKET, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		static const char usage[] = "hull-monitor is started by hull: hull-monitor ID, with a socket as descriptor 3\n";
		(void)!write(2, usage, sizeof(usage) - 1);
		return 125;
	}
	leave_caller();
	fd_close_from(HULL_SOCKET + 1);
	(void)!fd_set_cloexec(HULL_SOCKET, true);
	m->lock_fd = m->pty = m->hold_fd = m->dirfd = m->state_dirfd = m->run_dirfd = -1;
	m->listener.fd = m->signals.fd = m->exit.fd = m->launch.source.fd = m->input.source.fd = m->memory.fd = -1;
	m->names.socks[0] = m->names.socks[1] = m->names.server.fd = m->proxy.server.fd = -1;
	m->output.stream[0].source.fd = m->output.stream[1].source.fd = -1;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		m->client[i].source.fd = -1;
	launch_prepare(m, makes_ahead);
	int r = init_early(m, &err) < 0 ? -EIO : 1;
	if (!listen_early(m, argv[1], &r, &err))
		return leave(m);
	if (r > 0 && (r = lock(m, argv[1], &err)) == 0)
		r = init(m, &err);
	if (r < 0) {
		(void)!mon_send_error(HULL_SOCKET, &err);
		(void)leave(m);
		return 1;
	}
	(void)!fd_set_nonblock(HULL_SOCKET, true);
	struct client *hull = client_add(m, HULL_SOCKET);
	if (hull)
		client_ready(hull, EPOLLIN); /* START is there already, most times */
	monitor_late_init(m);
	r = m->loop.is_quitting ? 0 : loop_run(&m->loop);
	if (m->lock_fd >= 0)
		(void)unlinkat(m->dirfd, "ctl", 0);
	client_close_all(m);
	/* Nothing is left to flush, and every microsecond is the caller's. */
	_exit(r < 0);
}
