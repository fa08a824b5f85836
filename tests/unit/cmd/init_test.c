/* SPDX-License-Identifier: Apache-2.0 */
/* hull-init as PID 1 of a pid namespace; its path comes in HULL_INIT. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include <unistd.h>

#include "test.h"

/* Start hull-init over a shell command; its standard output in *ret_out. */
static pid_t start(const char *script, int *ret_out)
{
	const char *init = getenv("HULL_INIT");
	struct clone_args args = { .flags = CLONE_NEWPID, .exit_signal = SIGCHLD };
	int out[2];

	if (!init)
		TEST_SKIP("HULL_INIT is not set");
	if (getuid() != 0)
		args.flags |= CLONE_NEWUSER;
	CHECK_EQ(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		TEST_SKIP("no pid namespace: %s", strerror(errno));
	if (pid == 0) {
		dup2(out[1], 1);
		execl(init, "hull-init", "--", "/bin/sh", "-c", script, NULL);
		_exit(99);
	}
	close(out[1]);
	*ret_out = out[0];
	return pid;
}

static int finish(pid_t pid, int out)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	/* Not before: a command that writes would die of SIGPIPE. */
	close(out);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Wait for @want on @out (10 s). */
static void expect(int out, const char *want)
{
	char text[256] = "";
	size_t len = 0;

	while (!strstr(text, want)) {
		struct pollfd p = { .fd = out, .events = POLLIN };
		if (poll(&p, 1, 10000) != 1)
			test_fail(__FILE__, __LINE__, "no \"%s\", but \"%s\"", want, text);
		ssize_t n = read(out, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			test_fail(__FILE__, __LINE__, "end before \"%s\": \"%s\"", want, text);
		len += (size_t)n;
		text[len] = '\0';
	}
}

static int run(const char *script)
{
	int out;
	pid_t pid = start(script, &out);

	return finish(pid, out);
}

TEST(exit_codes)
{
	CHECK_EQ(run("exit 0"), 0);
	CHECK_EQ(run("exit 42"), 42);
	CHECK_EQ(run("kill -KILL $$"), 137);
	CHECK_EQ(run("kill -TERM $$"), 143);
	CHECK_EQ(run("exec /nonexistent/command 2>/dev/null"), 127);
}

TEST(missing_command)
{
	int status;
	const char *init = getenv("HULL_INIT");

	if (!init)
		TEST_SKIP("HULL_INIT is not set");
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, 2);
		execl(init, "hull-init", "no-such-command", NULL);
		_exit(99);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 127);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		dup2(null, 2);
		execl(init, "hull-init", "--", "/etc/passwd", NULL);
		_exit(99);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(WEXITSTATUS(status), 126);
}

TEST(signals_reach_the_group)
{
	int out;
	/* Its child must get the signal too, as at a terminal. */
	pid_t pid = start("trap 'echo got; wait; exit 5' TERM; "
			  "(trap 'echo child; exit 0' TERM; echo ready; while :; do sleep 0.01; done) & "
			  "while :; do sleep 0.01; done",
			  &out);

	expect(out, "ready");
	CHECK_EQ(kill(pid, SIGTERM), 0);
	expect(out, "child");
	CHECK_EQ(finish(pid, out), 5);
}

TEST(dies_of_a_signal_it_does_not_handle)
{
	int out;
	pid_t pid = start("echo ready; exec sleep 60", &out);

	expect(out, "ready");
	CHECK_EQ(kill(pid, SIGINT), 0);
	CHECK_EQ(finish(pid, out), 130);
}

TEST(orphans_are_reaped)
{
	int out;
	/* A hundred orphans that end at once; then no zombie may be left: of our
	 * pid namespace the host's /proc shows the children of hull-init. */
	pid_t pid = start("for i in 1 2 3 4 5 6 7 8 9 10; do (true &) ; done; echo made; exec sleep 60", &out);
	char path[64], text[4096];
	int zombies = 1;

	expect(out, "made");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	for (int round = 0; round < 500 && zombies; round++) {
		FILE *f = fopen(path, "re");
		if (!f) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			close(out);
			TEST_SKIP("no %s", path);
		}
		size_t n = fread(text, 1, sizeof(text) - 1, f);
		text[n] = '\0';
		fclose(f);
		zombies = 0;
		for (const char *p = text; (p = strchr(p, ' ')); p++)
			zombies++;
		zombies = zombies > 1;
		if (zombies)
			usleep(2000);
	}
	CHECK(!zombies);
	kill(pid, SIGTERM);
	finish(pid, out);
}

TEST(rest_dies_with_the_command)
{
	int out;
	pid_t pid = start("(trap '' TERM HUP; sleep 60 > /dev/null) & exit 9", &out);

	CHECK_EQ(finish(pid, out), 9);
}
TEST_MAIN()
