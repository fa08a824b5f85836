/* SPDX-License-Identifier: Apache-2.0 */
#include "files_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "test.h"

static struct files_start start_of(uint32_t shares, uint32_t flags)
{
	struct files_start s = { .magic = FILES_MAGIC, .flags = flags, .shares_n = shares };
	for (uint32_t i = 0; i < shares && i < FILES_SHARES_MAX; i++)
		snprintf(s.shares[i].name, sizeof(s.shares[i].name), "s%u", i);
	return s;
}

static void pair(int sock[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
}

TEST(descriptors_arrive_in_order)
{
	struct files_start out = start_of(40, FILES_USERNS), in;
	struct err err = ERR_INIT;
	int sock[2], fds[41], got[FILES_FDS_MAX];
	size_t n;
	pair(sock);
	for (size_t i = 0; i < 41; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%s/%zu", test_tmpdir(), i);
		fds[i] = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		CHECK(fds[i] >= 0);
	}
	CHECK_EQ(files_send_start(sock[0], &out, fds, 41, &err), 0);
	CHECK_EQ(files_recv_start(sock[1], &in, got, &n, &err), 0);
	CHECK_EQ(n, 41);
	CHECK_EQ(memcmp(&in, &out, sizeof(in)), 0);
	for (size_t i = 0; i < n; i++) {
		struct stat a, b;
		CHECK(fstat(fds[i], &a) == 0 && fstat(got[i], &b) == 0 && a.st_ino == b.st_ino);
		CHECK_EQ(fcntl(got[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
		close(got[i]);
	}
	/* Whatever it is, it is told. */
	err_set(&err, ERR_UNSUPPORTED, -EINVAL, "share s3");
	CHECK_EQ(files_send_started(sock[1], -EINVAL, &err), 0);
	struct err there = ERR_INIT;
	CHECK_EQ(files_recv_started(sock[0], &there), -EINVAL);
	CHECK_EQ(there.kind, ERR_UNSUPPORTED);
	CHECK(strstr(there.msg, "hull-files: share s3"));
	CHECK_EQ(files_send_started(sock[1], 0, &err), 0);
	CHECK_EQ(files_recv_started(sock[0], &there), 0);
	close(sock[1]);
	CHECK(files_recv_started(sock[0], &there) < 0);
	close(sock[0]);
}

TEST(what_makes_no_sense)
{
	struct files_start good = start_of(2, FILES_USERNS | FILES_DEVICE), s = good;
	CHECK_EQ(files_start_fds(&good), 4);
	static const char *const names[] = { "", ".", "..", "a/b", "/", "s1" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		s = good;
		snprintf(s.shares[0].name, sizeof(s.shares[0].name), "%s", names[i]);
		CHECK_EQ(files_start_fds(&s), 0);
	}
	s = good;
	memset(s.shares[0].name, 'x', sizeof(s.shares[0].name));
	CHECK_EQ(files_start_fds(&s), 0);
	s = good;
	s.magic++;
	CHECK_EQ(files_start_fds(&s), 0);
	s = good;
	s.flags = FILES_SMALL << 1;
	CHECK_EQ(files_start_fds(&s), 0);
	s = good;
	s.shares[1].flags = 16;
	CHECK_EQ(files_start_fds(&s), 0);
	s = good;
	s.shares_n = 0;
	CHECK_EQ(files_start_fds(&s), 0);
	s.shares_n = FILES_SHARES_MAX + 1;
	CHECK_EQ(files_start_fds(&s), 0);
	s = start_of(FILES_SHARES_MAX, 0);
	CHECK_EQ(files_start_fds(&s), FILES_SHARES_MAX);
}

TEST(fewer_or_more_descriptors_than_said)
{
	struct files_start s = start_of(2, 0), in;
	struct err err = ERR_INIT;
	int sock[2], got[FILES_FDS_MAX];
	size_t n;
	pair(sock);
	CHECK(files_send_start(sock[0], &s, sock, 1, &err) < 0);
	CHECK_EQ(fd_write_all(sock[0], &s, sizeof(s)), 0);
	CHECK_EQ(fd_send(sock[0], "", 1, sock, 1), 0);
	CHECK_EQ(fd_send(sock[0], "", 1, NULL, 0), 0);
	CHECK(files_recv_start(sock[1], &in, got, &n, &err) < 0);
	CHECK_EQ(n, 1);
	close(got[0]);
	/* More than belong to it are closed. */
	int three[3] = { sock[0], sock[0], sock[0] };
	CHECK_EQ(fd_write_all(sock[0], &s, sizeof(s)), 0);
	CHECK_EQ(fd_send(sock[0], "", 1, three, 3), 0);
	CHECK_EQ(files_recv_start(sock[1], &in, got, &n, &err), 0);
	CHECK_EQ(n, 2);
	close(got[0]);
	close(got[1]);
	close(sock[0]);
	CHECK(files_recv_start(sock[1], &in, got, &n, &err) < 0);
	close(sock[1]);
}

TEST_MAIN()
