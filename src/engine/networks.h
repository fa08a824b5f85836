/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between containers and networks: what a mode means, which addresses
 * and ports a container holds, and their release. */
#pragma once

/* Of container ?, twice; for db_prepare_ahead(). */
#define NETWORKS_HAS_ANY \
	"SELECT 1 FROM endpoints WHERE container = ? AND host_name IS NOT NULL UNION ALL SELECT 1 FROM ports WHERE container = ? LIMIT 1"

#include "image_config.h"
#include "runtime_spec.h"
#include "state.h"

/* "", "default", "bridge", "none", "host", "container:x"; ERR_NOT_FOUND in
 * Docker's words for a network that does not exist. */
int networks_check_mode(struct engine *engine, const char *mode, struct err *err) MUST_CHECK;
/* Inside the transaction that creates @c: record the networks it asks for. */
int networks_join(struct engine *engine, const struct container *c, struct err *err) MUST_CHECK;
/* Inside the transaction of a start: reserve addresses and ports, and fill
 * @spec's interfaces and ports. @image has the ports that -P publishes too. */
int networks_reserve(struct engine *engine, struct container *c, const struct image_config *image, struct runtime_spec *spec,
		     struct err *err) MUST_CHECK;
/* Take back what networks_reserve() gave, on the host too. Idempotent; also
 * when half of it was made. */
int networks_release(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* The same of a run whose monitor has said REMOVED: it removes the links, which
 * takes the kernel some 10 ms that nobody has to wait for. */
int networks_release_removed(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
