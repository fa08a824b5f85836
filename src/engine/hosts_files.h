/* SPDX-License-Identifier: Apache-2.0 */
/* The three files of a workload that say who it is and how it finds others:
 * hostname, hosts and resolv.conf. */
#pragma once

#include "container_config.h"
#include "runtime_spec.h"

/* Write them to the workload's folder @dirfd. @interfaces are the addresses the
 * start has reserved. With the host's network they are the host's own. */
int hosts_files_write(const struct container_config *c, const struct spec_interface *interfaces, size_t n, int dirfd,
		      struct err *err) MUST_CHECK;
