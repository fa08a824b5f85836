/* SPDX-License-Identifier: Apache-2.0 */
/* The seam between containers and networks: which a container is in, which
 * addresses and ports a run holds, and their release. */
#pragma once

/* Of container ?, twice; for db_prepare_ahead(). */
#define NETWORKS_HAS_ANY \
	"SELECT 1 FROM endpoints WHERE container = ? AND host_name IS NOT NULL UNION ALL SELECT 1 FROM ports WHERE container = ? LIMIT 1"

#include "image_config.h"
#include "runtime_spec.h"
#include "state.h"

/* It has the host's network, another container's, or none: nothing to hold. */
bool networks_has_none(const struct container_config *config);
/* Inside the transaction that creates @c: record the networks it asks for. One
 * that is not there is found out when it starts, as in Docker. */
int networks_join(struct engine *engine, const struct container *c, struct err *err) MUST_CHECK;
/* The same for one more network. ERR_CONFLICT when it is in it already. */
int network_join(struct engine *engine, const struct container *c, const struct config_endpoint *e, int64_t position,
		 struct err *err) MUST_CHECK;
/* Inside the transaction of a start: reserve addresses and ports, and fill
 * @spec's interfaces and ports. @image has the ports that -P publishes too. */
int networks_reserve(struct engine *engine, struct container *c, const struct image_config *image, struct runtime_spec *spec,
		     struct err *err) MUST_CHECK;
/* Lines of hosts for the containers that @c's --link names on the default network;
 * on others the name server knows them. ERR_CONFLICT when one does not run. */
int networks_link_lines(struct engine *engine, const struct container *c, struct strv *ret, struct err *err) MUST_CHECK;
/* Take back what networks_reserve() gave, on the host too. Idempotent; also
 * when half of it was made. */
int networks_release(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* The same of a run whose monitor has said REMOVED: it removes the links, which
 * takes the kernel some 10 ms that nobody has to wait for. */
int networks_release_removed(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
