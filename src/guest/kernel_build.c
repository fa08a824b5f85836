/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: everything happens in kernels/.build, whose lock says that somebody
 * is at it. The script (kernel/build.sh) runs as PID 1 of a process namespace, so
 * that whatever ends this process ends every compiler with it. */
#include "kernel_build.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "process.h"

extern const char kernel_build_script[], kernel_patch_faults[], kernel_patch_populate[], kernel_patch_registers[], kernel_patch_reporting[];
extern const char kernel_config_common[], kernel_config_sandbox[], kernel_config_microvm[];

#define FRAGMENT_MAX_BYTES 65536
#define LINE_MAX_BYTES 4096
/* build.sh's answer when a tool is missing. */
#define EXIT_MISSING 90
#define BUILD "kernels/.build"
#define LOG "kernels/build.log"

static const struct {
	const char *arch, *target, *config;
} recipes[] = {
	[GUEST_KERNEL_SANDBOX] = { "um", "linux", kernel_config_sandbox },
	/* vmlinux boots without unpacking itself first. */
	[GUEST_KERNEL_MICROVM] = { "x86_64", "vmlinux", kernel_config_microvm },
};
/* By the architecture that their names begin with. */
static const struct {
	const char *name, *text;
} patches[] = {
	{ "um-faults.patch", kernel_patch_faults },
	{ "um-populate.patch", kernel_patch_populate },
	{ "um-registers.patch", kernel_patch_registers },
	{ "um-reporting.patch", kernel_patch_reporting },
};
static_assert(ARRAY_LEN(recipes) == GUEST_KERNEL_USE_COUNT, "a recipe for each use");

struct work {
	const char *root;
	const struct kernel_build *build;
	char *source;
	struct buf fragment;
	char hash[17];
	int dir; /* kernels/.build, locked */
	char missing[200];
};

static void say(const struct kernel_build *b, const char *line)
{
	if (b->progress)
		b->progress(b->ctx, line);
}

static int find_source(struct work *w, struct err *err)
{
	glob_t found;
	if (w->build->source) {
		w->source = realpath(w->build->source, NULL);
		return w->source ? 0 : err_set(err, ERR_NOT_FOUND, -errno, "open %s", w->build->source);
	}
	if (glob("/usr/src/linux-source-*.tar.*", 0, NULL, &found) == 0) {
		w->source = str_dup(found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
		return 0;
	}
	int r = err_set(err, ERR_UNSUPPORTED, 0, "there is no kernel source to build from");
	err_why(err, "/usr/src has no linux-source-*.tar.*");
	err_hint(err, "apt install linux-source-6.1 make gcc flex bison bc xz-utils patch libelf-dev libssl-dev");
	return r;
}

static void mix(uint64_t *hash, const void *data, size_t len) /* FNV-1a */
{
	for (const unsigned char *p = data; len--; p++)
		*hash = (*hash ^ *p) * 0x100000001b3ULL;
}

/* The source counts by its name, size and time: Debian's package keeps the time. */
static int compute_hash(struct work *w, struct err *err)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	struct stat st;
	if (stat(w->source, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at %s", w->source);
	const char *name = strrchr(w->source, '/') + 1;
	const char *config = recipes[w->build->use].config;
	mix(&hash, name, strlen(name));
	mix(&hash, &st.st_size, sizeof(st.st_size));
	mix(&hash, &st.st_mtim.tv_sec, sizeof(st.st_mtim.tv_sec));
	mix(&hash, kernel_build_script, strlen(kernel_build_script));
	for (size_t i = 0; i < ARRAY_LEN(patches); i++)
		if (str_starts_with(patches[i].name, recipes[w->build->use].arch))
			mix(&hash, patches[i].text, strlen(patches[i].text));
	mix(&hash, kernel_config_common, strlen(kernel_config_common));
	mix(&hash, config, strlen(config));
	mix(&hash, buf_str(&w->fragment), w->fragment.len);
	snprintf(w->hash, sizeof(w->hash), "%016llx", (unsigned long long)hash);
	return 0;
}

static int find_same(const struct work *w, struct guest_kernel **ret, struct err *err)
{
	struct guest_kernel **list;
	size_t n;
	int r = guest_kernels_list(w->root, &list, &n, err);
	if (r < 0)
		return r;
	*ret = NULL;
	for (size_t i = 0; i < n && !*ret; i++)
		if (list[i]->origin == GUEST_KERNEL_BUILT && list[i]->use == w->build->use && str_eq(list[i]->config_hash, w->hash))
			*ret = TAKE_PTR(list[i]);
	guest_kernels_free(list, n);
	return 0;
}

static int remove_below(const char *root, const char *name)
{
	CLEANUP_FD int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : fd_remove_tree_at(dir, name);
}

/* Empty, and ours until the descriptor is closed. */
static int lock_folder(struct work *w, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("%s/" BUILD, w->root);
	int r = fd_mkdir_parents(path, 0700);
	CLEANUP_FD int dir = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : -errno, "create %s", path);
	if (flock(dir, LOCK_EX | LOCK_NB) < 0) {
		r = err_set(err, ERR_CONFLICT, 0, "another kernel is being built");
		err_hint(err, "wait for it: hull kernel ls shows it when it is there");
		return r;
	}
	static const char *const leavings[] = { "tree", "obj", "out" };
	for (size_t i = 0; i < ARRAY_LEN(leavings); i++)
		if ((r = fd_remove_tree_at(dir, leavings[i])) < 0)
			return err_set(err, ERR_SYSTEM, r, "clear %s", path);
	w->dir = TAKE_FD(dir);
	return 0;
}

static int write_fragments(struct work *w, struct err *err)
{
	const char *config = recipes[w->build->use].config;
	int r = fd_replace_file_at(w->dir, "common.config", kernel_config_common, strlen(kernel_config_common), 0600, false);
	if (r == 0)
		r = fd_replace_file_at(w->dir, "use.config", config, strlen(config), 0600, false);
	if (r == 0)
		r = fd_replace_file_at(w->dir, "own.config", buf_str(&w->fragment), w->fragment.len, 0600, false);
	for (size_t i = 0; i < ARRAY_LEN(patches) && r == 0; i++)
		r = fd_replace_file_at(w->dir, patches[i].name, patches[i].text, strlen(patches[i].text), 0600, false);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the configuration") : 0;
}

static _Noreturn void run_script(const struct work *w, int script, int out)
{
	char jobs[16], path[32];
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	snprintf(jobs, sizeof(jobs), "%ld", w->build->jobs ? (long)w->build->jobs : processors > 0 ? processors : 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", script);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fchdir(w->dir) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || fd_set_cloexec(script, false) < 0)
		_exit(127);
	execl("/bin/sh", "sh", path, recipes[w->build->use].arch, recipes[w->build->use].target, w->source, jobs, "common.config",
	      "use.config", "own.config", NULL);
	_exit(127);
}

static int open_script(struct err *err)
{
	CLEANUP_FD int fd = memfd_create("kernel-build", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_all(fd, kernel_build_script, strlen(kernel_build_script));
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "prepare the build");
	return TAKE_FD(fd);
}

/* Each line into the log; those for the user to the user. */
static void take_line(struct work *w, int log, const char *line)
{
	if (fd_write_all(log, line, strlen(line)) < 0 || fd_write_all(log, "\n", 1) < 0)
		return; /* a full disk stops the build itself */
	if (str_starts_with(line, "== missing:"))
		(void)!str_copy(w->missing, sizeof(w->missing), line + strlen("== missing:"));
	else if (str_starts_with(line, "== "))
		say(w->build, line + 3);
}

static void take_output(struct work *w, int log, struct buf *pending)
{
	char *newline;
	while (pending->len && (newline = memchr(pending->data, '\n', pending->len))) {
		*newline = '\0';
		take_line(w, log, pending->data);
		buf_consume(pending, (size_t)(newline - pending->data) + 1);
	}
	if (pending->len >= LINE_MAX_BYTES / 2) {
		take_line(w, log, buf_str(pending));
		buf_clear(pending);
	}
}

static void follow(struct work *w, int pidfd, int from, int log)
{
	CLEANUP_BUF struct buf pending = BUF_INIT(LINE_MAX_BYTES);
	struct pollfd p = { .fd = from, .events = POLLIN };
	for (;;) {
		char data[LINE_MAX_BYTES / 2];
		if (w->build->interrupted && *w->build->interrupted)
			(void)!process_signal(pidfd, SIGKILL);
		if (poll(&p, 1, 200) <= 0)
			continue;
		ssize_t n = read(from, data, sizeof(data));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || buf_append(&pending, data, (size_t)n) < 0)
			break;
		take_output(w, log, &pending);
	}
	if (pending.len)
		take_line(w, log, buf_str(&pending));
}

static int told_failure(struct work *w, int status, struct err *err)
{
	if (w->build->interrupted && *w->build->interrupted)
		return err_set(err, ERR_SYSTEM, -EINTR, "the build was ended");
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MISSING) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "what builds a kernel is not installed whole:%s", w->missing);
		err_hint(err, "apt install make gcc flex bison bc xz-utils patch libelf-dev libssl-dev");
		return r;
	}
	int r = err_set(err, ERR_SYSTEM, 0, "the kernel could not be built");
	err_why(err, "the last lines of %s/" LOG " say what failed", w->root);
	return r;
}

static int compile(struct work *w, struct err *err)
{
	CLEANUP_FREE char *log_path = str_printf("%s/" LOG, w->root);
	CLEANUP_FD int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CLEANUP_FD int script = open_script(err);
	int pipes[2], status = 0;
	if (script < 0)
		return script;
	if (log < 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", log_path);
	CLEANUP_FD int from = pipes[0], to = pipes[1];
	CLEANUP_FD int pidfd = -1;
	pid_t pid = process_clone(CLONE_NEWPID, -1, &pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "start the build");
	if (pid == 0)
		run_script(w, script, to);
	cleanup_fd(&to);
	follow(w, pidfd, from, log);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : told_failure(w, status, err);
}

static int read_release(struct work *w, char ret[64], struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(63);
	int r = fd_read_file_at(w->dir, "out/release", &text);
	if (r < 0 || str_copy(ret, 64, buf_str(&text)) < 0)
		return err_set(err, ERR_SYSTEM, r, "read the version of what was built");
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/* From here on it is one of the kernels. */
static int publish(struct work *w, char **ret_name, struct err *err)
{
	char release[64];
	int r = read_release(w, release, err);
	if (r < 0)
		return r;
	const char *use = guest_kernel_use_name(w->build->use);
	CLEANUP_FREE char *info = str_printf("use=%s\nversion=%s\nconfig=%s\n", use, release, w->hash);
	CLEANUP_FREE char *name = str_printf("%s-%.*s-%.8s", use, (int)strcspn(release, "-"), release, w->hash);
	CLEANUP_FREE char *path = str_printf("%s/kernels", w->root);
	CLEANUP_FD int kernels = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FD int out = openat(w->dir, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (kernels < 0 || out < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	r = fd_replace_file_at(out, "info", info, strlen(info), 0600, true);
	if (r == 0 && fchmodat(out, "kernel", 0755, 0) < 0)
		r = -errno;
	if (r == 0 && syncfs(out) < 0)
		r = -errno;
	if (r == 0)
		r = fd_remove_tree_at(kernels, name);
	if (r == 0 && renameat(w->dir, "out", kernels, name) < 0)
		r = -errno;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "keep the kernel %s", name);
	*ret_name = TAKE_PTR(name);
	return 0;
}

static int build_it(struct work *w, struct guest_kernel **ret, struct err *err)
{
	CLEANUP_FREE char *name = NULL;
	int r = lock_folder(w, err);
	if (r == 0)
		r = write_fragments(w, err);
	if (r == 0)
		r = compile(w, err);
	if (r == 0)
		r = publish(w, &name, err);
	if (w->dir >= 0)
		(void)!remove_below(w->root, BUILD);
	cleanup_fd(&w->dir);
	return r < 0 ? r : guest_kernel_find(w->root, w->build->use, name, ret, err);
}

int kernel_build(const char *root, const struct kernel_build *build, struct guest_kernel **ret, bool *ret_is_new, struct err *err)
{
	struct work w = { .root = root, .build = build, .dir = -1, .fragment = BUF_INIT(FRAGMENT_MAX_BYTES) };
	int r = find_source(&w, err);
	if (r == 0 && build->fragment) {
		r = fd_read_file_at(AT_FDCWD, build->fragment, &w.fragment);
		if (r < 0)
			(void)err_set(err, ERR_INVALID, r, "read %s", build->fragment);
	}
	if (r == 0)
		r = compute_hash(&w, err);
	if (r == 0)
		r = find_same(&w, ret, err);
	*ret_is_new = r == 0 && !*ret;
	if (*ret_is_new)
		r = build_it(&w, ret, err);
	free(w.source);
	buf_free(&w.fragment);
	return r;
}

void kernel_build_recover(const char *root)
{
	CLEANUP_FREE char *path = str_printf("%s/" BUILD, root);
	CLEANUP_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) == 0)
		(void)!remove_below(root, BUILD);
}
