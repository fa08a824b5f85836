/* SPDX-License-Identifier: Apache-2.0 */
/* port: what a container publishes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "containers.h"
#include "network_view.h"

static const struct option no_options[] = { OPTIONS_END };

/* "80" is "80/tcp". */
static bool is_asked(const struct published_port *p, const char *wanted)
{
	char text[16];
	if (!wanted)
		return true;
	snprintf(text, sizeof(text), "%u/%s", p->container_port, p->protocol);
	return str_eq(text, wanted) || (str_eq(p->protocol, "tcp") && strlen(text) == strlen(wanted) + 4 && str_starts_with(text, wanted));
}

static int run_port(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FREE struct published_port *ports = NULL;
	size_t n = 0, shown = 0;
	const char *wanted = argc > 1 ? argv[1] : NULL;
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, argv[0], &c, &err);
	if (r == 0)
		r = network_ports(engine, c->id, &ports, &n, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < n; i++) {
		if (!is_asked(&ports[i], wanted))
			continue;
		shown++;
		bool is_ip6 = strchr(ports[i].host_ip, ':');
		if (!wanted)
			printf("%u/%s -> ", ports[i].container_port, ports[i].protocol);
		printf(is_ip6 ? "[%s]:%u\n" : "%s:%u\n", ports[i].host_ip, ports[i].host_port);
	}
	if (!wanted || shown)
		return 0;
	err_set(&err, ERR_NOT_FOUND, 0, "No public port '%s%s' published for %s", wanted, strchr(wanted, '/') ? "" : "/tcp", argv[0]);
	return cli_fail(cli, &err);
}

const struct verb verb_port = {
	.names = { "port", "container port" },
	.args = "CONTAINER [PRIVATE_PORT[/PROTO]]",
	.brief = "List port mappings or a specific mapping for the container",
	.options = no_options,
	.opts_size = 1,
	.min_args = 1,
	.max_args = 2,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_port,
};
