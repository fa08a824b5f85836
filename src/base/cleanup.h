/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound ownership: a variable marked CLEANUP_x is released when it goes
 * out of scope; TAKE_x hands the ownership on and leaves NULL or -1 behind.
 * Always initialise such a variable on its declaration line. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* unused: a variable may be there only for what happens when it ends. */
#define CLEANUP(fn) __attribute__((cleanup(fn), unused))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* close() is never retried: on Linux the descriptor is gone even after EINTR. */
static inline void cleanup_fd(int *fd)
{
	if (*fd < 0)
		return;
	int saved = errno;
	close(*fd);
	errno = saved;
	*fd = -1;
}

static inline void cleanup_file(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_FD CLEANUP(cleanup_fd)
#define CLEANUP_FILE CLEANUP(cleanup_file)
#define CLEANUP_DIR CLEANUP(cleanup_dir)

#define TAKE_PTR(p)                        \
	({                                 \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                \
		taken_;                    \
	})
#define TAKE_FD(fd)            \
	({                     \
		int taken_ = (fd); \
		(fd) = -1;     \
		taken_;        \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
