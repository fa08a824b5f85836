/* SPDX-License-Identifier: Apache-2.0 */
/* The three files of a workload that say who it is and how it finds others:
 * hostname, hosts and resolv.conf. */
#pragma once

#include "container_config.h"
#include "runtime_spec.h"
#include "str.h"

/* Write them to the workload's folder @dirfd. @interfaces are the addresses the
 * start has reserved. With the host's network they are the host's own. */
struct hosts_inputs {
	const struct container_config *config;
	const struct spec_interface *interfaces;
	size_t interfaces_n;
	const struct strv *links; /* lines of hosts: those that --link names */
	bool has_name_server;     /* names_proto.h: resolv.conf leads there */
};
int hosts_files_write(const struct hosts_inputs *in, int dirfd, struct err *err) MUST_CHECK;
/* A running container got the address @address, or lost it: its line of hosts. */
int hosts_files_add(int dirfd, const struct container_config *c, const char *address, struct err *err) MUST_CHECK;
/* It has a name server now: its resolv.conf, unless it has changed that itself to
 * something else than hull wrote. */
int hosts_files_use_names(int dirfd, const struct container_config *c, struct err *err) MUST_CHECK;
int hosts_files_drop(int dirfd, const char *address, struct err *err) MUST_CHECK;
