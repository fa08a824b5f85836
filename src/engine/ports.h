/* SPDX-License-Identifier: Apache-2.0 */
/* The ports of the host that lead to a container: which it has, and their
 * release. */
#pragma once

#include "image_config.h"
#include "runtime_spec.h"
#include "state.h"

/* Inside the transaction of a start: reserve the ports that @c publishes, with
 * those of @image for -P, and add them to @spec. @ip is the address they lead to. */
int ports_reserve(struct engine *engine, struct container *c, const struct image_config *image, const char *ip,
		  struct runtime_spec *spec, struct err *err) MUST_CHECK;
/* Take them back, on the host too. Idempotent. */
int ports_release(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
