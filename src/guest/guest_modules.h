/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a packaged kernel's modules a guest needs, in the order of loading, by
 * the tables that depmod(8) wrote: modules.dep, modules.builtin. */
#pragma once

#include "err.h"
#include "str.h"

/* The files (relative to @dir) of the modules @names (NULL-terminated, "erofs",
 * "virtio_blk": '-' and '_' are the same) and of all that they need, each before
 * its users, none twice; those that are built in are passed over. A name with a
 * '?' before it may be missing; another one is ERR_UNSUPPORTED. */
int guest_modules_resolve(const char *dir, const char *const *names, struct strv *ret, struct err *err) MUST_CHECK;
