/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that guests boot: those hull built (kernels/NAME below its root: a
 * folder with "kernel", "config" and "info"), and those that Debian's packages put
 * on this machine. A folder appears and goes whole (rename), so that what is
 * listed is usable; the choice of a default is a symbolic link beside them.
 *
 * A user-mode kernel is to be started without address randomisation, and with
 * GLIBC_TUNABLES=glibc.pthread.rseq=0 in its environment: its stub processes
 * inherit the rseq area that glibc registered, unmap it, and die of it when the
 * host preempts them (seen with 6.1 built statically on glibc 2.36).
 *
 * Nothing here knows levels of isolation: a kernel has a use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum guest_kernel_use {
	GUEST_KERNEL_SANDBOX, /* a user-mode Linux program */
	GUEST_KERNEL_MICROVM, /* a vmlinux or bzImage for KVM */
	GUEST_KERNEL_USE_COUNT
};
const char *guest_kernel_use_name(enum guest_kernel_use use); /* "sandbox", "microvm" */
int guest_kernel_use_parse(const char *name, enum guest_kernel_use *ret, struct err *err) MUST_CHECK;

enum guest_kernel_origin {
	GUEST_KERNEL_BUILT,    /* by `hull kernel build` */
	GUEST_KERNEL_PACKAGED, /* Debian's */
	GUEST_KERNEL_FILE,     /* named by its path */
};

struct guest_kernel {
	char *name;
	enum guest_kernel_use use;
	enum guest_kernel_origin origin;
	char *version;     /* "6.1.192-hull"; "" when only the kernel itself knows */
	char *config_hash; /* of what it was built from; "" unless built */
	char *path;        /* absolute */
	/* Where its modules are; NULL: what a guest needs is built in. */
	char *modules_dir;
	int64_t bytes, made_ns;
	bool is_default; /* for its use, chosen or by itself */
};
void guest_kernel_free(struct guest_kernel *kernel);
static inline void cleanup_guest_kernel(struct guest_kernel **kernel)
{
	guest_kernel_free(*kernel);
}
#define CLEANUP_GUEST_KERNEL CLEANUP(cleanup_guest_kernel)

/* All there are, those of one use together, newest first (caller frees each and
 * the list). @root: hull's, an absolute path. */
int guest_kernels_list(const char *root, struct guest_kernel ***ret, size_t *ret_n, struct err *err) MUST_CHECK;
void guest_kernels_free(struct guest_kernel **list, size_t n);

/* The kernel @name (its name, or the path of a file with a slash in it; NULL or "":
 * the default) for @use. ERR_NOT_FOUND says how one is had. */
int guest_kernel_find(const char *root, enum guest_kernel_use use, const char *name, struct guest_kernel **ret,
		      struct err *err) MUST_CHECK;

/* Make @name the default of its use. ERR_NOT_FOUND. */
int guest_kernel_choose(const char *root, const char *name, struct err *err) MUST_CHECK;
/* Remove a built one; guests that run keep what they have loaded. ERR_CONFLICT for
 * one that is a package's. */
int guest_kernel_remove(const char *root, const char *name, struct err *err) MUST_CHECK;
