/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_TIMEOUT_S 60
#define EXIT_FAILED 1
#define EXIT_SKIPPED 77

static struct test_case *first, **last = &first;
static char tmpdir[64];

void test_register(struct test_case *test)
{
	*last = test;
	last = &test->next;
}

static void comment(const char *file, int line, const char *fmt, va_list ap)
{
	char text[2048];
	vsnprintf(text, sizeof(text), fmt, ap);
	if (file)
		printf("# %s:%d: %s\n", file, line, text);
	else
		printf("# %s\n", text);
	fflush(stdout);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	comment(file, line, fmt, ap);
	va_end(ap);
	_exit(EXIT_FAILED);
}

void test_skip(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	comment(NULL, 0, fmt, ap);
	va_end(ap);
	const char *must = getenv("HULL_TESTS_MUST_RUN");
	_exit(must && *must == '1' ? EXIT_FAILED : EXIT_SKIPPED);
}

const char *test_tmpdir(void)
{
	return tmpdir;
}

static int count_fds(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void run_child(struct test_case *test)
{
	alarm(TEST_TIMEOUT_S);
	int fds = count_fds();
	test->run();
	if (count_fds() != fds)
		test_fail(__FILE__, __LINE__, "descriptors leaked: %d before, %d after", fds, count_fds());
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		test_fail(__FILE__, __LINE__, "a child process was left behind");
	/* exit(), not _exit(): the leak sanitizer reports from an exit handler. */
	exit(0);
}

static int run_one(struct test_case *test)
{
	strcpy(tmpdir, "/tmp/hull-test-XXXXXX");
	if (!mkdtemp(tmpdir)) {
		perror("mkdtemp");
		exit(1);
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0)
		run_child(test);
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	nftw(tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return status;
}

int test_main(int argc, char **argv)
{
	int n = 0, failed = 0;
	for (struct test_case *t = first; t; t = t->next)
		if (argc < 2 || strstr(t->name, argv[1]))
			n++;
	printf("1..%d\n", n);
	n = 0;
	for (struct test_case *t = first; t; t = t->next) {
		if (argc >= 2 && !strstr(t->name, argv[1]))
			continue;
		int status = run_one(t);
		n++;
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
			printf("ok %d - %s # SKIP\n", n, t->name);
		else if (status == 0)
			printf("ok %d - %s\n", n, t->name);
		else {
			failed++;
			printf("not ok %d - %s%s\n", n, t->name,
			       WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (timed out)" :
			       WIFSIGNALED(status)                                ? " (killed by a signal)" :
										    "");
		}
		fflush(stdout);
	}
	return failed != 0;
}
