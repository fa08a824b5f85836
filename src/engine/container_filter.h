/* SPDX-License-Identifier: Apache-2.0 */
/* ps --filter. */
#pragma once

#include "containers.h"

/* Whether all are known; *ret_all: they ask for stopped containers too. */
int container_filter_check(const struct container_filter *f, bool *ret_all, struct err *err) MUST_CHECK;
/* 1: @c is wanted, 0: it is not. Values of one key are alternatives, labels all
 * have to be there; keys all have to match. */
int container_filter_matches(struct engine *engine, struct container *c, const struct container_filter *f, struct err *err) MUST_CHECK;
