/* SPDX-License-Identifier: Apache-2.0 */
#include "nft.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "fd.h"

extern char **environ;

static int feed(pid_t pid, int in, int out, const char *script, struct err *err)
{
	/* nft reads the whole script before it says anything. */
	int r = fd_write_all(in, script, strlen(script));
	close(in);
	CLEANUP_BUF struct buf said = BUF_INIT(4096);
	int drained = fd_read_all(out, &said);
	close(out);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, ERR_SYSTEM, errno, "wait for nft");
	if (r < 0 && r != -EPIPE)
		return err_set(err, ERR_SYSTEM, r, "write to nft");
	if (drained < 0 && drained != -E2BIG)
		return err_set(err, ERR_SYSTEM, drained, "read from nft");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	char *line = said.data ? strchrnul(said.data, '\n') : NULL;
	if (line)
		*line = '\0';
	return err_set(err, ERR_SYSTEM, 0, "nft refused the firewall rules: %s", buf_str(&said));
}

int nft_run(const char *script, struct err *err)
{
	int in[2], out[2];
	posix_spawn_file_actions_t actions;
	char *argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, errno, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		int saved = errno;
		close(in[0]);
		close(in[1]);
		return err_set(err, ERR_SYSTEM, saved, "pipe");
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	/* Locks of ours are not to be held by the midst of an execve. */
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	int r = posix_spawn(&pid, "/usr/sbin/nft", &actions, NULL, argv, environ);
	if (r == ENOENT)
		r = posix_spawnp(&pid, "nft", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	if (r != 0) {
		close(in[1]);
		close(out[0]);
		int ret = err_set(err, ERR_UNSUPPORTED, r, "start nft");
		err_why(err, "hull's networks need the nftables package");
		err_hint(err, "apt-get install nftables");
		return ret;
	}
	return feed(pid, in[1], out[0], script, err);
}

