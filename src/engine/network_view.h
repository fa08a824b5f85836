/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses and published ports a container holds, as ps, port and inspect
 * show them. */
#pragma once

#include "json.h"
#include "network_rows.h"

struct published_port {
	char protocol[8];
	char host_ip[46]; /* "0.0.0.0" for all */
	uint16_t host_port, container_port;
};
/* What @id holds now, by container port; *ret is the caller's. None when it does
 * not run. */
int network_ports(struct engine *engine, const char *id, struct published_port **ret, size_t *ret_n, struct err *err) MUST_CHECK;
/* "0.0.0.0:8080->80/tcp, 443/tcp" of a running container; allocated. */
char *network_ports_text(struct engine *engine, struct container *c);
/* Docker's "NetworkSettings". The container's configuration must be loaded. */
int network_settings_write(struct engine *engine, const struct container *c, struct json_writer *w, struct err *err) MUST_CHECK;
/* A network as `network inspect` shows it. */
int network_write(struct engine *engine, const struct network *n, struct json_writer *w, struct err *err) MUST_CHECK;
