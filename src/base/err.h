/* SPDX-License-Identifier: Apache-2.0 */
/* Errors are values on the caller's stack.
 *
 * base/ and linux/ functions return 0 (or a count) or a negative errno and
 * print nothing. Everything above returns the same and also fills a struct err
 * handed in as the last argument. The value holds no pointers, so it can be
 * filled after clone() or out of memory and sent whole through a pipe. */
#pragma once

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum err_kind {
	ERR_NONE,
	ERR_INVALID,     /* malformed request */
	ERR_DENIED,      /* policy or permission says no */
	ERR_NOT_FOUND,   /* the thing named does not exist */
	ERR_CONFLICT,    /* exists already, in use, or in the wrong state */
	ERR_UNSUPPORTED, /* this host or this back end cannot */
	ERR_TIMEOUT,     /* took too long */
	ERR_SYSTEM,      /* a system call or a remote side failed */
	ERR_KIND_COUNT
};

struct err {
	enum err_kind kind;
	/* Negative errno, or 0 where no system call failed. */
	int errnum;
	/* What failed: one line, outermost context first, no trailing dot. */
	char msg[600];
	/* Why, in a sentence; empty when msg says it all. */
	char why[240];
	/* A command or a step that helps; empty when there is none. */
	char hint[240];
};
static_assert(sizeof(struct err) <= PIPE_BUF, "sent to the parent in one atomic write()");

#define ERR_INIT ((struct err){ 0 })
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fill @err (overwriting it) and return a negative errno that the caller
 * returns in turn: @errnum itself (made negative) or, when it is 0, one that
 * fits @kind. With a non-zero @errnum the message gets ": strerror" appended.
 * @err may be NULL: then only the number is returned. */
int err_set(struct err *err, enum err_kind kind, int errnum, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Put context before the message of an error that is already set:
 * "open layer x: <old message>". Returns @r so that `return err_context(...)`
 * reads well. If @err is still empty it becomes an ERR_SYSTEM error of @r. */
int err_context(struct err *err, int r, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Attach the cause and the remedy. Both return nothing and change no code. */
void err_why(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
void err_hint(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#ifdef __clang_analyzer__
/* What they return is negative, which the analyzer cannot see from here. */
#define err_set(...) (err_set(__VA_ARGS__), -1)
#endif

/* True when @err holds an error. */
static inline bool err_is_set(const struct err *err)
{
	return err->kind != ERR_NONE;
}
