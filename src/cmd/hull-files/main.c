/* SPDX-License-Identifier: Apache-2.0 */
/* hull-files: see proto/files_proto.h. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "fd.h"
#include "files_proto.h"
#include "fuse_serve.h"
#include "jail.h"

#define THREADS_MAX 64
/* Beside the descriptors of shares and of the guest. */
#define OWN_FDS 64
/* About 200 bytes each. */
#define INODES_MAX 1000000
/* The table of a server is as long as it may hold descriptors. */
#define FDS_MAX (1u << 20)

struct fds {
	int fd[FILES_FDS_MAX];
	size_t n;
};

static int raise_limit(size_t *ret, struct err *err)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the limit of descriptors");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "raise the limit of descriptors");
	*ret = files.rlim_cur < FDS_MAX ? (size_t)files.rlim_cur : FDS_MAX;
	return 0;
}

static int make_server(const struct files_start *start, const int *share_fds, int proc_fds, struct fuse_server **ret,
		       struct err *err)
{
	static struct fuse_share shares[FILES_SHARES_MAX];
	size_t limit = 0;
	int r = raise_limit(&limit, err);
	if (r < 0)
		return r;
	if (limit < OWN_FDS + 2u * start->shares_n + 64)
		return err_set(err, ERR_UNSUPPORTED, 0, "%zu descriptors are too few for %u shares", limit, start->shares_n);
	for (uint32_t i = 0; i < start->shares_n; i++) {
		uint32_t flags = start->shares[i].flags;
		shares[i] = (struct fuse_share){
			.name = start->shares[i].name,
			.fd = share_fds[i],
			.flags = (flags & FILES_SHARE_READ_ONLY ? FUSE_SHARE_READ_ONLY : 0) |
				 (flags & FILES_SHARE_PRIVATE ? FUSE_SHARE_PRIVATE : 0) |
				 (flags & FILES_SHARE_LOCAL_LOCKS ? FUSE_SHARE_LOCAL_LOCKS : 0) |
				 (flags & FILES_SHARE_CACHED ? FUSE_SHARE_CACHED : 0),
		};
	}
	struct fuse_server_config config = {
		.shares = shares,
		.shares_n = start->shares_n,
		.proc_fds = proc_fds,
		.fds_max = limit - OWN_FDS - 2u * start->shares_n,
		.inodes_max = INODES_MAX,
		.data_max = start->flags & FILES_SMALL ? FILES_SMALL_DATA_MAX : 0,
		.takes_ids = true,
	};
	return fuse_server_new(&config, ret, err);
}

static int prepare(const struct files_start *start, struct fds *fds, struct fuse_server **ret, struct err *err)
{
	size_t at = 0;
	int userns = start->flags & FILES_USERNS ? fds->fd[at++] : -1, proc_fds = -1;
	at += !!(start->flags & FILES_DEVICE);
	int r = jail_enter(userns, &proc_fds, err);
	if (r == 0)
		r = make_server(start, fds->fd + at, proc_fds, ret, err);
	/* The server has its own. */
	for (; at < fds->n; at++)
		cleanup_fd(&fds->fd[at]);
	cleanup_fd(&userns);
	if (r == 0)
		r = jail_close(fuse_server_capabilities(), err);
	return r;
}

static int serve(const struct files_start *start, const struct fds *fds, struct fuse_server *server, struct err *err)
{
	bool is_device = start->flags & FILES_DEVICE;
	struct fuse_serve_config config = {
		.fd = is_device ? fds->fd[!!(start->flags & FILES_USERNS)] : FILES_SOCKET_FD,
		.is_device = is_device,
		.watch_fd = is_device ? FILES_SOCKET_FD : -1,
		.threads_max = start->threads_max ? start->threads_max : THREADS_MAX,
	};
	return fuse_serve(server, &config, err);
}

int main(void)
{
	static struct files_start start;
	static struct fds fds;
	struct fuse_server *server = NULL;
	struct err err = ERR_INIT;

	/* With more the C library asks /sys for the number of processors, and /proc
	 * whether it may give memory back. */
	mallopt(M_ARENA_MAX, 1);
	signal(SIGPIPE, SIG_IGN);
	/* A file at the host's limit of sizes is an error to tell the guest. */
	signal(SIGXFSZ, SIG_IGN);
	fd_close_from(FILES_SOCKET_FD + 1);
	int r = fd_set_cloexec(FILES_SOCKET_FD, true);
	if (r < 0)
		return 2; /* nobody to tell: it was not started by hull */
	r = files_recv_start(FILES_SOCKET_FD, &start, fds.fd, &fds.n, &err);
	if (r == 0)
		r = prepare(&start, &fds, &server, &err);
	if (files_send_started(FILES_SOCKET_FD, r, &err) < 0 || r < 0)
		return 1;
	r = serve(&start, &fds, server, &err);
	/* Workers may be at work: not a way through their leavings. */
	_exit(r < 0);
}
