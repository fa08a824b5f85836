/* SPDX-License-Identifier: Apache-2.0 */
/* hull-names: the name server of all containers below $HULL_RUN (names_proto.h).
 * Started by whoever needs it and finds none; it detaches once it can be reached,
 * and ends when nobody has needed it for a moment. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "names_confine.h"
#include "server.h"

#define BACKLOG 512
/* Per container four descriptors, per question under way one. */
#define FILES_MAX 65536

static struct server server;

struct start {
	int run, names, lock, listener, inotify;
};

/* False: another serves. */
static int take_lock(struct start *s, bool is_locked, bool *ret_is_ours)
{
	if (is_locked) {
		s->lock = NAMES_LOCK_FD;
		*ret_is_ours = true;
		return fd_set_cloexec(s->lock, true);
	}
	s->lock = openat(s->run, NAMES_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock < 0)
		return -errno;
	*ret_is_ours = flock(s->lock, LOCK_EX | LOCK_NB) == 0;
	return *ret_is_ours || errno == EWOULDBLOCK ? 0 : -errno;
}

static int listen_at(int run, int *ret)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" NAMES_SOCKET, run);
	if (fd < 0 || (unlinkat(run, NAMES_SOCKET, 0) < 0 && errno != ENOENT) || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

/* Records are read as nobody, below a folder that only root can enter. */
static int open_names(struct start *s)
{
	char path[32];
	if (mkdirat(s->run, NAMES_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	s->names = openat(s->run, NAMES_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->names < 0 || fchmod(s->names, 0755) < 0)
		return -errno;
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->names);
	if (s->inotify < 0 || inotify_add_watch(s->inotify, path, IN_MOVED_TO | IN_DELETE) < 0)
		return -errno;
	return 0;
}

static int prepare(struct start *s, bool is_locked, bool *ret_is_ours, struct err *err)
{
	const char *run = getenv("HULL_RUN");
	*s = (struct start){ -1, -1, -1, -1, -1 };
	s->run = open(str_is_empty(run) ? "/run/hull" : run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = s->run < 0 ? -errno : take_lock(s, is_locked, ret_is_ours);
	if (r < 0 || !*ret_is_ours)
		return r < 0 ? err_set(err, ERR_SYSTEM, r, "take the lock") : 0;
	(void)umask(0077);
	r = journal_open(s->run, &server.journal, &server.orphans);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open the journal");
	(void)umask(0022);
	r = open_names(s);
	(void)umask(0077);
	if (r == 0)
		r = listen_at(s->run, &s->listener);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "listen at " NAMES_SOCKET) : 0;
}

/* Whoever started us waits for the exit: we can be reached now. */
static int detach(struct err *err)
{
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	if (pid > 0)
		_exit(0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 3 && null >= 0; i++)
		(void)dup2(null, i);
	if (null > 2)
		close(null);
	(void)setsid();
	(void)!chdir("/");
	signal(SIGPIPE, SIG_IGN);
	/* Whoever starts us may be protected: a server is easily replaced. */
	CLEANUP_FD int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0)
		(void)!write(oom, "0", 1);
	return 0;
}

static void raise_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
	(void)!setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(bool is_locked, struct err *err)
{
	struct start s;
	bool is_ours = false;
	int admit = -1;
	int r = prepare(&s, is_locked, &is_ours, err);
	if (r < 0 || !is_ours)
		return r;
	r = detach(err);
	if (r < 0)
		return r;
	r = admit_start(s.names, &admit, err);
	if (r < 0)
		return r;
	raise_limit();
	/* Nothing is opened by way of it any more. */
	cleanup_fd(&s.run);
	r = loop_init(&server.loop);
	r = r < 0 ? err_set(err, ERR_SYSTEM, r, "make an event loop") : confine(s.names, err);
	if (r == 0 && (serve_start(&server, s.listener, s.inotify, s.names, admit) < 0 || loop_run(&server.loop) < 0))
		r = err_set(err, ERR_SYSTEM, 0, "serve");
	return r;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	bool is_locked = argc == 2 && str_eq(argv[1], "--locked");
	if (argc != 1 && !is_locked) {
		static const char usage[] = "hull-names is started by hull: it answers containers' questions for names\n";
		(void)!write(2, usage, sizeof(usage) - 1);
		return 125;
	}
	/* Not what whoever starts us has open. */
	fd_close_from(is_locked ? NAMES_LOCK_FD + 1 : NAMES_LOCK_FD);
	if (run(is_locked, &err) < 0) {
		dprintf(2, "hull-names: %s\n", err.msg);
		return 1;
	}
	return 0;
}
