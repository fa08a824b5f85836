/* SPDX-License-Identifier: Apache-2.0 */
#include "program_start.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "test.h"

/* What a shell says through descriptor 3. */
static void says(const char *script, char ret[64])
{
	int p[2];
	ssize_t n = 0, got;
	CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
	const char *const argv[] = { "a name", "-c", script, NULL };
	pid_t pid = program_start("/bin/sh", argv, p[1]);
	CHECK(pid > 0);
	close(p[1]);
	CHECK_EQ(program_started(), 0);
	while ((got = read(p[0], ret + n, (size_t)(63 - n))) > 0)
		n += got;
	ret[n] = '\0';
	close(p[0]);
	int status = -1;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(runs_with_its_descriptor)
{
	char said[64];
	says("echo \"$0\" >&3", said);
	CHECK_STR(said, "a name\n");
	/* Again, and with all signals blocked. */
	says("grep SigBlk /proc/self/status | tr -d '[:space:]' >&3", said);
	CHECK_STR(said, "SigBlk:fffffffe7ffbfeff");
}

TEST(descriptor_that_is_in_its_place_already)
{
	int p[2];
	CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
	CHECK(p[1] != 3);
	if (p[0] != 3)
		CHECK_EQ(dup3(p[0], 3, O_CLOEXEC), 3);
	const char *const argv[] = { "sh", "-c", "read x <&3 && test \"$x\" = y", NULL };
	pid_t pid = program_start("/bin/sh", argv, 3);
	CHECK(pid > 0);
	CHECK_EQ(program_started(), 0);
	CHECK_EQ(write(p[1], "y\n", 2), 2);
	int status = -1;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK_EQ(fcntl(3, F_GETFD), FD_CLOEXEC);
	if (p[0] != 3)
		close(3);
	close(p[0]);
	close(p[1]);
}

TEST(what_cannot_be_run_is_told_and_reaped)
{
	const char *const argv[] = { "x", NULL };
	CHECK_EQ(program_started(), 0);
	CHECK(program_start("/nonexistent/x", argv, 2) > 0);
	CHECK_EQ(program_started(), -ENOENT);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
	CHECK_EQ(errno, ECHILD);
	CHECK(program_start("/etc/passwd", argv, 2) > 0);
	CHECK_EQ(program_started(), -EACCES);
}

TEST(one_at_a_time)
{
	const char *const argv[] = { "true", NULL };
	CHECK(program_start("/bin/true", argv, 2) > 0);
	CHECK_EQ(program_start("/bin/true", argv, 2), -EINVAL);
	CHECK_EQ(program_started(), 0);
	CHECK(waitpid(-1, NULL, 0) > 0);
}

TEST_MAIN()
