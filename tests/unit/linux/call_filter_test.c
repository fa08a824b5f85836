/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of system calls, each asked by a child that is under them; Landlock's rules. */
#include "call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "landlock.h"
#include "privileges.h"
#include "test.h"

#define FORBIDDEN (SECCOMP_RET_ERRNO | EUCLEAN)

static void list(struct call_filter *f)
{
	static const int some[] = { SYS_exit_group, SYS_getpid };
	static const uint32_t commands[] = { F_GETFD, F_GETFL };
	call_filter_begin(f, FORBIDDEN);
	call_filter_allow(f, some, ARRAY_LEN(some));
	call_filter_answer(f, SYS_uname, SECCOMP_RET_ERRNO | EXDEV);
	call_filter_allow_values(f, SYS_fcntl, 1, commands, ARRAY_LEN(commands));
	call_filter_allow_with(f, SYS_dup3, 2, O_CLOEXEC);
	call_filter_allow_without(f, SYS_pipe2, 1, O_DIRECT | O_NONBLOCK);
	call_filter_allow_threads(f);
}

/* The errno of one call under the list, 0 for none; negative: the signal. */
static int result_of(long nr, long a, long b, long c)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		struct call_filter f;
		list(&f);
		if (privileges_refuse_new() < 0 || call_filter_load(&f) < 0)
			_exit(254);
		long r = syscall(nr, a, b, c, 0, 0);
		syscall(SYS_exit_group, r < 0 ? errno : 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(calls_get_their_answers)
{
	int pair[2];
	char name[400];
	CHECK_EQ(result_of(SYS_getpid, 0, 0, 0), 0);
	CHECK_EQ(result_of(SYS_getppid, 0, 0, 0), EUCLEAN);
	CHECK_EQ(result_of(SYS_uname, (long)name, 0, 0), EXDEV);
	CHECK_EQ(result_of(SYS_fcntl, 0, F_GETFD, 0), 0);
	CHECK_EQ(result_of(SYS_fcntl, 0, F_GETFL, 0), 0);
	CHECK_EQ(result_of(SYS_fcntl, 0, F_SETFL, 0), EUCLEAN);
	CHECK_EQ(result_of(SYS_fcntl, 0, F_DUPFD, 0), EUCLEAN);
	CHECK_EQ(result_of(SYS_dup3, 0, 100, O_CLOEXEC), 0);
	CHECK_EQ(result_of(SYS_dup3, 0, 100, 0), EUCLEAN);
	CHECK_EQ(result_of(SYS_pipe2, (long)pair, O_CLOEXEC, 0), 0);
	CHECK_EQ(result_of(SYS_pipe2, (long)pair, O_CLOEXEC | O_NONBLOCK, 0), EUCLEAN);
	CHECK_EQ(result_of(SYS_clone3, 0, 0, 0), ENOSYS);
	CHECK_EQ(result_of(SYS_clone, SIGCHLD, 0, 0), EUCLEAN);
	/* Looked at by the kernel: a thread shares more than that. */
	CHECK_EQ(result_of(SYS_clone, CLONE_THREAD, 0, 0), EINVAL);
}

#ifdef __x86_64__
TEST(calls_of_the_other_abi_kill)
{
	CHECK_EQ(result_of(0x40000000 | SYS_getpid, 0, 0, 0), -SIGSYS);
}
#endif

TEST(a_list_that_does_not_fit_is_refused)
{
	struct call_filter f;
	size_t n;
	call_filter_begin(&f, FORBIDDEN);
	for (int i = 0; i < CALL_FILTER_MAX; i++)
		call_filter_answer(&f, i, SECCOMP_RET_ALLOW);
	CHECK(call_filter_finish(&f, &n) == NULL);
	CHECK_EQ(call_filter_load(&f), -E2BIG);
}

/* The errno of opening @path by rules that allow reading below /usr alone. */
static int open_under_rules(const char *path, int flags)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		int rules = landlock_open(1);
		if (rules < 0)
			_exit(253);
		if (privileges_refuse_new() < 0 || landlock_allow_path(rules, "/nowhere", LANDLOCK_READING) < 0 ||
		    landlock_allow_path(rules, "/usr", LANDLOCK_READING) < 0 ||
		    landlock_allow_path(rules, "/dev/null", LANDLOCK_READING | LANDLOCK_CHANGING) < 0 || landlock_enforce(rules) < 0)
			_exit(254);
		_exit(open(path, flags, 0600) < 0 ? errno : 0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(paths_are_as_allowed)
{
	CLEANUP_FD int rules = landlock_open(1);
	if (rules == -EOPNOTSUPP)
		TEST_SKIP("this kernel has no Landlock");
	CHECK_EQ(open_under_rules("/usr/bin", O_RDONLY | O_DIRECTORY), 0);
	CHECK_EQ(open_under_rules("/dev/null", O_RDWR), 0);
	CHECK_EQ(open_under_rules("/etc/passwd", O_RDONLY), EACCES);
	CHECK_EQ(open_under_rules("/usr", O_RDWR | O_TMPFILE), EACCES);
}

TEST_MAIN()
