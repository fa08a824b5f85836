/* SPDX-License-Identifier: Apache-2.0 */
/* hull-unpack as a program: what it checks while it reads, and what it says. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "json.h"
#include "test.h"

/* Run "cd TMP; COMMAND", where $U is the worker with its output on fd 3; the
 * exit status, and in @out what it printed on both streams. */
static int run(const char *command, struct buf *out)
{
	int pipes[2], status;
	CHECK_EQ(pipe2(pipes, O_CLOEXEC), 0);
	CLEANUP_FREE char *full = str_printf("cd %s; u() { $HULL_UNPACK \"$@\" 3<>image; }; %s", test_tmpdir(), command);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		execl("/bin/bash", "bash", "-c", full, NULL);
		_exit(127);
	}
	close(pipes[1]);
	CHECK_EQ(fd_read_all(pipes[0], out), 0);
	close(pipes[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define PACK "head -c 100000 /dev/urandom >f; tar cf a.tar f; gzip -kf a.tar; "

static void check_fails(const char *command, const char *message)
{
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CLEANUP_FREE char *full = str_printf(PACK "%s", command);
	int status = run(full, &out);
	CLEANUP_JSON struct json *e = NULL;
	struct err err = ERR_INIT;
	if (status != 1 || json_parse(out.data, out.len, "report", &e, &err) < 0 ||
	    !strstr(json_get_str_or(e, "message", ""), message))
		test_fail(__FILE__, __LINE__, "%s: exit %d, %s", command, status, buf_str(&out));
	CHECK_EQ(json_get_i64(e, "kind", 0), ERR_INVALID);
}

static void check_works(const char *command, const char *compression)
{
	CLEANUP_BUF struct buf out = BUF_INIT(65536), sum = BUF_INIT(4096);
	CLEANUP_FREE char *full = str_printf(PACK "%s", command);
	int status = run(full, &out);
	CLEANUP_JSON struct json *res = NULL;
	struct err err = ERR_INIT;
	if (status != 0 || json_parse(out.data, out.len, "result", &res, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: exit %d, %s", command, status, buf_str(&out));
	CHECK_STR(json_get_str(res, "compression"), compression);
	CHECK_EQ(json_get_i64(res, "entries", 0), 1);
	CHECK_EQ(json_get_i64(res, "contentBytes", 0), 100000);
	CHECK_EQ(run("printf sha256:; sha256sum <a.tar | cut -c1-64 | tr -d '\\n'", &sum), 0);
	CHECK_STR(json_get_str(res, "diffid"), buf_str(&sum));
}

TEST(takes_gzip)
{
	check_works("u --media gzip <a.tar.gz", "gzip");
}

TEST(takes_gzip_of_several_members)
{
	check_works("(head -c 5000 a.tar | gzip; tail -c +5001 a.tar | gzip) | u", "gzip");
}

TEST(takes_a_plain_tar)
{
	check_works("u --media none <a.tar", "none");
}

TEST(takes_zstd)
{
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	if (run("command -v zstd", &out) != 0)
		TEST_SKIP("no zstd program");
	check_works("zstd -qc a.tar | u", "zstd");
}

TEST(keeps_the_blob)
{
	check_works("$HULL_UNPACK --tee <a.tar.gz 3<>image 4<>blob && cmp blob a.tar.gz", "gzip");
}

TEST(refuses_other_bytes_than_announced)
{
	check_fails("u --digest sha256:$(printf %064d 0) <a.tar.gz", "the digest of the layer is wrong");
	check_fails("u --diffid sha256:$(printf %064d 0) <a.tar.gz", "the diff id of the layer is wrong");
	check_fails("u --size 1000 <a.tar.gz", "longer than the 1000 bytes");
	check_fails("u --size 900000 <a.tar.gz", "instead of 900000");
	check_fails("u --media zstd <a.tar.gz", "declared as zstd but is gzip");
	/* Damaged on the way: the digest is the better explanation. */
	check_fails("head -c 100000 f | u --size 100000 --digest sha256:$(printf %064d 0)", "the digest of the layer");
}

TEST(refuses_damaged_streams)
{
	check_fails("head -c 50000 a.tar.gz | u", "ends too early");
	check_fails("(cat a.tar.gz; head -c 1000 f) | u", "after its end");
	check_fails("(head -c 60000 a.tar.gz; head -c 100000 f) | u", "gzip");
	check_fails("u --max-bytes 5000 <a.tar.gz", "more than 5000 bytes");
	check_fails("u --max-entries 0 <a.tar.gz", "bad value for --max-entries");
	check_fails("head -c 2000 f | u", "checksum");
}

TEST_MAIN()
