/* SPDX-License-Identifier: Apache-2.0 */
#include "files_proto.h"

#include <errno.h>
#include <string.h>

#include "fd.h"
#include "str.h"

static bool is_name(const char *name, size_t size)
{
	size_t len = strnlen(name, size);
	return len > 0 && len < size && !memchr(name, '/', len) && !str_eq(name, ".") && !str_eq(name, "..");
}

size_t files_start_fds(const struct files_start *start)
{
	const uint32_t share_flags = FILES_SHARE_READ_ONLY | FILES_SHARE_PRIVATE | FILES_SHARE_LOCAL_LOCKS | FILES_SHARE_CACHED;
	if (start->magic != FILES_MAGIC || start->shares_n == 0 || start->shares_n > FILES_SHARES_MAX ||
	    start->flags & ~(FILES_USERNS | FILES_DEVICE | FILES_SMALL))
		return 0;
	for (uint32_t i = 0; i < start->shares_n; i++) {
		const struct files_share *share = &start->shares[i];
		if (!is_name(share->name, sizeof(share->name)) || share->flags & ~share_flags)
			return 0;
		for (uint32_t k = 0; k < i; k++)
			if (str_eq(start->shares[k].name, share->name))
				return 0;
	}
	return start->shares_n + !!(start->flags & FILES_USERNS) + !!(start->flags & FILES_DEVICE);
}

int files_send_start(int sock, const struct files_start *start, const int *fds, size_t n, struct err *err)
{
	if (n == 0 || files_start_fds(start) != n)
		return err_set(err, ERR_INVALID, 0, "start " FILES_PROGRAM ": bad shares");
	int r = fd_write_all(sock, start, sizeof(*start));
	for (size_t at = 0; r >= 0 && at < n; at += FD_PASS_MAX)
		r = fd_send(sock, "", 1, fds + at, n - at < FD_PASS_MAX ? n - at : FD_PASS_MAX);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "start " FILES_PROGRAM) : 0;
}

int files_recv_started(int sock, struct err *err)
{
	struct files_started s;
	int r = fd_read_exact(sock, &s, sizeof(s));
	if (r == -ENODATA)
		return err_set(err, ERR_SYSTEM, 0, FILES_PROGRAM " ended before it had started");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "wait for " FILES_PROGRAM);
	if (s.magic != FILES_MAGIC || s.result > 0 || s.err.kind >= ERR_KIND_COUNT)
		return err_set(err, ERR_SYSTEM, -EPROTO, "wait for " FILES_PROGRAM);
	if (s.result == 0)
		return 0;
	s.err.msg[sizeof(s.err.msg) - 1] = s.err.why[sizeof(s.err.why) - 1] = s.err.hint[sizeof(s.err.hint) - 1] = '\0';
	if (err)
		*err = s.err;
	return err_context(err, s.result, FILES_PROGRAM);
}

int files_recv_start(int sock, struct files_start *start, int *fds, size_t *ret_n, struct err *err)
{
	*ret_n = 0;
	int r = fd_read_exact(sock, start, sizeof(*start));
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read what to serve");
	size_t n = files_start_fds(start);
	if (n == 0)
		return err_set(err, ERR_INVALID, 0, "what to serve makes no sense");
	while (*ret_n < n) {
		size_t got = 0;
		char byte;
		ssize_t len = fd_recv(sock, &byte, 1, fds + *ret_n, n - *ret_n, &got);
		*ret_n += got;
		if (len < 0)
			return err_set(err, ERR_SYSTEM, (int)len, "receive the shares");
		if (len == 0 || got == 0)
			return err_set(err, ERR_INVALID, 0, "receive the shares: %zu descriptors of %zu came", *ret_n, n);
	}
	return 0;
}

int files_send_started(int sock, int result, const struct err *err)
{
	struct files_started s = { .magic = FILES_MAGIC, .result = result };
	if (result < 0)
		s.err = *err;
	return fd_write_all(sock, &s, sizeof(s));
}
