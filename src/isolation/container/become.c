/* SPDX-License-Identifier: Apache-2.0 */
/* The last steps of a new process: who it is, what it may, execve. */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fd.h"
#include "internal.h"
#include "process.h"
#include "seccomp_load.h"

#define FILTER_MAX (65536u * sizeof(struct sock_filter))

int filter_read(const char *path, void **ret, size_t *ret_len, struct err *err)
{
	if (!path)
		return 0;
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, errno, "read the seccomp filter %s", path);
	return filter_read_fd(fd, path, ret, ret_len, err);
}

int filter_read_fd(int fd, const char *name, void **ret, size_t *ret_len, struct err *err)
{
	CLEANUP_BUF struct buf b = BUF_INIT(FILTER_MAX);
	int r = fd_read_all(fd, &b);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the seccomp filter %s", name);
	if (b.len == 0 || b.len % sizeof(struct sock_filter))
		return err_set(err, ERR_INVALID, 0, "%s is not a compiled seccomp filter", name);
	*ret_len = b.len;
	*ret = buf_steal(&b);
	return 0;
}

static int load_filter(const struct become_args *a, struct err *err)
{
	if (!a->filter)
		return 0;
	int r = seccomp_load_filter(a->filter, a->filter_len / sizeof(struct sock_filter), false);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "load the seccomp filter");
	return 0;
}

static int set_limits(const struct spec_process *p, struct err *err)
{
	for (size_t i = 0; i < p->rlimits_n; i++) {
		struct rlimit want = { p->rlimits[i].soft, p->rlimits[i].hard }, now;
		if (setrlimit((__rlimit_resource_t)p->rlimits[i].resource, &want) == 0)
			continue;
		if (errno != EPERM || getrlimit((__rlimit_resource_t)p->rlimits[i].resource, &now) < 0)
			return err_set(err, ERR_INVALID, errno, "set the limit %s", spec_rlimit_name(p->rlimits[i].resource));
		/* Without CAP_SYS_RESOURCE the host's own limit is the most there is. */
		want.rlim_max = want.rlim_max < now.rlim_max ? want.rlim_max : now.rlim_max;
		want.rlim_cur = want.rlim_cur < want.rlim_max ? want.rlim_cur : want.rlim_max;
		if (setrlimit((__rlimit_resource_t)p->rlimits[i].resource, &want) < 0)
			return err_set(err, ERR_SYSTEM, errno, "set the limit %s", spec_rlimit_name(p->rlimits[i].resource));
	}
	return 0;
}

static int set_identity(const struct spec_process *p, struct err *err)
{
	const struct spec_user *u = &p->user;
	/* Raw system calls: libc's would signal threads that are not there. */
	if (syscall(SYS_setgroups, u->groups_n, u->groups) < 0)
		return err_set(err, ERR_SYSTEM, errno, "set the groups");
	if (syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
		return err_set(err, ERR_SYSTEM, errno, "become group %u", u->gid);
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
		return err_set(err, ERR_SYSTEM, errno, "become user %u", u->uid);
	/* The change of identity cleared it; a custom filter may refuse, and then
	 * recovery kills what a dead monitor leaves. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return 0;
}

static int set_privileges(const struct become_args *a, struct err *err)
{
	const struct spec_process *p = a->process;
	int r = process_set_bounding(p->caps.bounding);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "limit the capabilities");
	/* Without no_new_privs loading a filter takes CAP_SYS_ADMIN, which the
	 * process is about to lose. */
	if (!p->no_new_privileges) {
		r = load_filter(a, err);
		if (r < 0)
			return r;
	}
	r = set_identity(p, err);
	if (r < 0)
		return r;
	r = process_set_capabilities(p->caps.effective, p->caps.permitted, p->caps.inheritable);
	if (r == 0)
		r = process_set_ambient(p->caps.ambient);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "set the capabilities");
	if (p->no_new_privileges) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			return err_set(err, ERR_SYSTEM, errno, "set no_new_privs");
		return load_filter(a, err);
	}
	return 0;
}

static int enter_directory(const struct spec_process *p, struct err *err)
{
	char now[4096];
	const char *cwd = p->cwd && *p->cwd ? p->cwd : "/";
	if (chdir(cwd) < 0)
		return err_set(err, ERR_INVALID, errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
	/* A directory outside the root shows as "(unreachable)" (CVE-2024-21626). */
	long n = syscall(SYS_getcwd, now, sizeof(now));
	if (n < 0 || now[0] != '/')
		return err_set(err, ERR_DENIED, 0, "the working directory %s is outside the container", cwd);
	return 0;
}

/* Docker's words, and errno values that become 126 and 127. */
static int exec_error(const char *name, int errnum, bool searched, struct err *err)
{
	if (errnum == ENOENT && searched)
		err_set(err, ERR_NOT_FOUND, 0, "exec: \"%s\": executable file not found in $PATH", name);
	else if (errnum == ENOENT)
		err_set(err, ERR_NOT_FOUND, 0, "exec: \"%s\": stat %s: no such file or directory", name, name);
	else if (errnum == EISDIR)
		err_set(err, ERR_DENIED, 0, "exec: \"%s\": is a directory: permission denied", name);
	else if (errnum == EACCES)
		err_set(err, ERR_DENIED, 0, "exec: \"%s\": permission denied", name);
	else if (errnum == ENOEXEC)
		err_set(err, ERR_INVALID, 0, "exec %s: exec format error", name);
	else
		err_set(err, ERR_SYSTEM, errnum, "exec \"%s\"", name);
	err->errnum = -(errnum == EISDIR ? EACCES : errnum);
	return err->errnum;
}

static int try_exec(const char *path, const struct spec_process *p)
{
	struct stat st;
	execve(path, p->args.v, p->env.v ? p->env.v : (char *[]){ NULL });
	int saved = errno;
	if (saved == EACCES && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		saved = EISDIR;
	return saved;
}

static const char *find_path(const struct spec_process *p)
{
	for (size_t i = 0; i < p->env.n; i++)
		if (str_starts_with(p->env.v[i], "PATH="))
			return p->env.v[i] + strlen("PATH=");
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int exec_command(const struct spec_process *p, struct err *err)
{
	const char *name = p->args.v[0];
	if (strchr(name, '/'))
		return exec_error(name, try_exec(name, p), false, err);
	int worst = ENOENT;
	CLEANUP_STRV struct strv dirs = { 0 };
	strv_split(&dirs, find_path(p), ':');
	for (size_t i = 0; i < dirs.n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", *dirs.v[i] ? dirs.v[i] : ".", name);
		/* Cheaper than an execve() that fails. */
		int e = access(path, F_OK) < 0 ? errno : try_exec(path, p);
		if (e != ENOENT && e != ENOTDIR && e != EISDIR)
			worst = e;
	}
	return exec_error(name, worst, true, err);
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
}

int become(const struct become_args *a, struct err *err)
{
	int r = set_limits(a->process, err);
	if (r == 0) {
		umask(a->process->user.has_umask ? a->process->user.umask : 0022);
		reset_signals();
		r = set_privileges(a, err);
	}
	if (r == 0)
		r = enter_directory(a->process, err);
	if (r < 0)
		return r;
	if (a->is_init) {
		/* hull-init COMMAND...: its descriptor is all that reaches it. */
		char **argv = mem_calloc(a->process->args.n + 3, sizeof(char *));
		argv[0] = (char *)(uintptr_t) "hull-init";
		argv[1] = (char *)(uintptr_t) "--";
		memcpy(argv + 2, a->process->args.v, a->process->args.n * sizeof(char *));
		syscall(SYS_execveat, a->init_fd, "", argv, a->process->env.v, AT_EMPTY_PATH);
		return err_set(err, ERR_SYSTEM, errno, "exec the init");
	}
	return exec_command(a->process, err);
}
