/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"
#undef err_set

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int default_errno(enum err_kind kind)
{
	static const int by_kind[ERR_KIND_COUNT] = {
		[ERR_NONE] = 0,
		[ERR_INVALID] = EINVAL,
		[ERR_DENIED] = EPERM,
		[ERR_NOT_FOUND] = ENOENT,
		[ERR_CONFLICT] = EEXIST,
		[ERR_UNSUPPORTED] = EOPNOTSUPP,
		[ERR_TIMEOUT] = ETIMEDOUT,
		[ERR_SYSTEM] = EIO,
	};
	return by_kind[kind];
}

int err_set(struct err *err, enum err_kind kind, int errnum, const char *fmt, ...)
{
	if (errnum < 0)
		errnum = -errnum;
	int ret = -(errnum ? errnum : default_errno(kind));
	if (!err)
		return ret;

	/* The arguments may point into the old message. */
	/* Zeroed whole: errors are sent to other processes as they are. */
	char msg[sizeof(err->msg)] = "";
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(msg) && errnum)
		snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", strerror(errnum));

	err->kind = kind;
	err->errnum = -errnum;
	memcpy(err->msg, msg, sizeof(msg));
	err->why[0] = '\0';
	err->hint[0] = '\0';
	return ret;
}

int err_context(struct err *err, int r, const char *fmt, ...)
{
	if (!err)
		return r;
	if (!err_is_set(err))
		(void)err_set(err, ERR_SYSTEM, r, "failed");

	char msg[sizeof(err->msg)];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(msg))
		snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", err->msg);
	memcpy(err->msg, msg, sizeof(msg));
	return r;
}

void err_why(struct err *err, const char *fmt, ...)
{
	if (!err)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(err->why, sizeof(err->why), fmt, ap);
	va_end(ap);
}

void err_hint(struct err *err, const char *fmt, ...)
{
	if (!err)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
}
