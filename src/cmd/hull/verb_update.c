/* SPDX-License-Identifier: Apache-2.0 */
/* update: limits, restart policy and published ports of containers that are there. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "container_update.h"
#include "engine.h"
#include "flag_parse.h"
#include "run_flags.h"

#define AT(field) offsetof(struct run_opts, field)

static int set_pids_limit(void *opts, const char *value, struct err *err)
{
	(void)value;
	(void)err;
	((struct run_opts *)opts)->has_pids_limit = TRI_TRUE;
	return 0;
}

static const struct option update_options[] = {
	{ "blkio-weight", 0, OPT_INT, AT(blkio_weight), .value = "uint16",
	  .help = "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)" },
	{ "cpu-period", 0, OPT_INT, AT(cpu_period), .help = "Limit CPU CFS (Completely Fair Scheduler) period" },
	{ "cpu-quota", 0, OPT_INT, AT(cpu_quota), .help = "Limit CPU CFS (Completely Fair Scheduler) quota" },
	{ "cpu-rt-period", 0, OPT_INT, AT(cpu_rt_period), .help = "Limit the CPU real-time period in microseconds" },
	{ "cpu-rt-runtime", 0, OPT_INT, AT(cpu_rt_runtime), .help = "Limit the CPU real-time runtime in microseconds" },
	{ "cpu-shares", 'c', OPT_INT, AT(cpu_shares), .help = "CPU shares (relative weight)" },
	{ "cpus", 0, OPT_STR, AT(cpus), .value = "decimal", .help = "Number of CPUs" },
	{ "cpuset-cpus", 0, OPT_STR, AT(cpuset_cpus), .help = "CPUs in which to allow execution (0-3, 0,1)" },
	{ "cpuset-mems", 0, OPT_STR, AT(cpuset_mems), .help = "MEMs in which to allow execution (0-3, 0,1)" },
	{ "memory", 'm', OPT_SIZE, AT(memory_bytes), .help = "Memory limit" },
	{ "memory-reservation", 0, OPT_SIZE, AT(memory_reservation_bytes), .help = "Memory soft limit" },
	{ "memory-swap", 0, OPT_STR, AT(memory_swap), .value = "bytes",
	  .help = "Swap limit equal to memory plus swap: -1 to enable unlimited swap" },
	{ "network-rate", 0, OPT_STR, AT(network_rate), .value = "rate", .help = "Limit what it sends and receives: 100mbit, or in=50mbit,out=10mbit",
	  .flags = OPTION_HULL },
	{ "pids-limit", 0, OPT_INT, AT(pids_limit), .help = "Tune container pids limit (set -1 for unlimited)", .set = set_pids_limit },
	{ "publish", 'p', OPT_LIST, AT(publish), .value = "[+|-]port",
	  .help = "Publish a container's port(s) to the host (+8080:80), or no longer (-80, -8080:80)" },
	{ "restart", 0, OPT_STR, AT(restart), .help = "Restart policy to apply when a container exits", .complete = COMPLETE_WORDS,
	  .words = "no always unless-stopped on-failure" },
	OPTIONS_END
};

/* "+8443:443", "8443:443" and "-80". */
static int parse_ports(const struct strv *publish, struct container_config *add, struct container_config *remove, struct err *err)
{
	for (size_t i = 0; i < publish->n; i++) {
		const char *value = publish->v[i];
		bool removes = *value == '-';
		int r = flag_parse_publish(removes ? remove : add, value + (removes || *value == '+'), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void update_defaults(void *opts)
{
	((struct run_opts *)opts)->memory_swappiness = -1;
}

/* Anything but the defaults. */
static bool is_anything_asked(const struct run_opts *o)
{
	/* Of calloc, as @o is: the bytes between the members are compared, too. */
	CLEANUP_FREE struct run_opts *untouched = mem_calloc(1, sizeof(*untouched));
	update_defaults(untouched);
	return memcmp((const void *)o, (const void *)untouched, sizeof(*o)) != 0;
}

static int run_update(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER_CONFIG struct container_config *changes = NULL, *add = container_config_new(), *remove = container_config_new();
	const struct strv *publish = &((const struct run_opts *)opts)->publish;
	int code = 0;
	if (!is_anything_asked(opts)) {
		err_set(&err, ERR_INVALID, 0, "you must provide one or more flags when using this command");
		return cli_fail_client(cli, &err);
	}
	if (run_flags_build_update(opts, &changes, &err) < 0 || parse_ports(publish, add, remove, &err) < 0 || engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	struct port_changes ports = { add->port_bindings, remove->port_bindings, add->port_bindings_n, remove->port_bindings_n };
	for (int i = 0; i < argc; i++) {
		err = ERR_INIT;
		if (containers_update(engine, argv[i], changes, publish->n ? &ports : NULL, &err) < 0) {
			fflush(stdout);
			code = cli_fail(cli, &err);
			continue;
		}
		printf("%s\n", argv[i]);
	}
	return code;
}

const struct verb verb_update = {
	.names = { "update", "container update" },
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.brief = "Update configuration of one or more containers",
	.options = update_options,
	.opts_size = sizeof(struct run_opts),
	.defaults = update_defaults,
	.min_args = 1,
	.max_args = -1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_update,
};
