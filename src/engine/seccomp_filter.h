/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled seccomp filter of a container, cached in root/seccomp/. */
#pragma once

#include "container_config.h"
#include "engine.h"

/* *ret is the allocated path of a filter for a process with capabilities
 * @caps, NULL for unconfined and privileged ones. */
int seccomp_filter_path(struct engine *engine, const struct container_config *c, uint64_t caps, char **ret,
			struct err *err) MUST_CHECK;
