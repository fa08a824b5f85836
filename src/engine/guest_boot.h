/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload with a kernel of its own is started with, besides what every
 * workload has. */
#pragma once

#include "container_config.h"
#include "engine.h"
#include "state.h"

/* What a workload with a kernel of its own cannot have: ERR_UNSUPPORTED with the
 * way out. */
int guest_boot_check(const struct container_config *config, struct err *err) MUST_CHECK;
/* 0 if this host can run @level: what the level itself asks for, and for one with a
 * kernel of its own that kernel (below @root) and hull's programs (in @libexec). */
int guest_boot_probe(const char *root, const char *libexec, enum isolation_level level, struct err *err) MUST_CHECK;
bool guest_boot_is_needed(enum isolation_level level);
/* Fill spec->guest for a workload at @level: kernel, initramfs, layer files,
 * memory. The initramfs is made on first use and kept in root/kernels. */
int guest_boot_prepare(struct engine *engine, const struct container *c, const struct strv *diffids, struct runtime_spec *spec,
		       struct err *err) MUST_CHECK;
