/* SPDX-License-Identifier: Apache-2.0 */
#include "fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "str.h"
#include "test.h"

TEST(replace_is_whole_or_not_at_all)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(fd_replace_file_at(dir, "f", "one", 3, 0600, false), 0);
	CHECK_EQ(fd_replace_file_at(dir, "f", "three", 5, 0600, true), 0);
	CLEANUP_BUF struct buf b = BUF_INIT(100);
	CHECK_EQ(fd_read_file_at(dir, "f", &b), 0);
	CHECK_STR(buf_str(&b), "three");
	CLEANUP_BUF struct buf small = BUF_INIT(4);
	CHECK_EQ(fd_read_file_at(dir, "f", &small), -E2BIG);
}

TEST(descriptors_travel)
{
	int sv[2], got[4];
	size_t n = 0;
	char byte;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	CHECK_EQ(fd_send(sv[0], "x", 1, sv, 2), 0);
	CHECK_EQ(fd_recv(sv[1], &byte, 1, got, 1, &n), 1);
	CHECK_EQ(n, 1);
	CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	close(got[0]);
	close(sv[0]);
	close(sv[1]);
}

TEST(remove_tree_does_not_follow_links)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(mkdirat(dir, "keep", 0700), 0);
	CHECK_EQ(mkdirat(dir, "keep/inner", 0700), 0);
	CHECK_EQ(mkdirat(dir, "gone", 0700), 0);
	CHECK_EQ(symlinkat("../keep", dir, "gone/link"), 0);
	CHECK_EQ(fd_remove_tree_at(dir, "gone"), 0);
	CHECK_EQ(faccessat(dir, "keep/inner", F_OK, 0), 0);
	CHECK_EQ(faccessat(dir, "gone", F_OK, 0), -1);
	CHECK_EQ(fd_remove_tree_at(dir, "never-there"), 0);
}

TEST_MAIN()
