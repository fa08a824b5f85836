/* SPDX-License-Identifier: Apache-2.0 */
/* Between the launch description's limits and those of linux/: the two layers
 * may not see each other. */
#pragma once

#include "cgroup.h"
#include "cgroup_devices.h"
#include "cgroup_limits.h"
#include "isolation.h"

/* CGROUP_BIT()s of what @res needs, the device filter included: what
 * cgroup_create() is to be given, so that nothing is migrated later. */
uint32_t container_resources_controllers(const struct cgroup_layout *layout, const struct spec_resources *res);
/* Write limits and, with @devices, the device filter. For updates pass
 * @devices = false: the list is fixed at start, as in Docker. */
int container_resources_apply(struct cgroup *cg, const struct spec_resources *res, bool devices,
			      struct err *err) MUST_CHECK;
int container_resources_stats(const struct cgroup *cg, struct isolation_stats *ret, struct err *err) MUST_CHECK;
