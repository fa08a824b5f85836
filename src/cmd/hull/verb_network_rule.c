/* SPDX-License-Identifier: Apache-2.0 */
/* network rule add, ls, rm; network log */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "engine.h"
#include "image_cli.h"
#include "network_log.h"
#include "network_rules.h"

/* ---- rule add ---- */

struct add_opts {
	const char *from, *to, *egress, *port, *protocol;
	bool allow, deny;
};
#define AT(field) offsetof(struct add_opts, field)
#define ENDS "any host outside label:"

static const struct option add_options[] = {
	{ "allow", 0, OPT_BOOL, AT(allow), .help = "Let it pass" },
	{ "deny", 0, OPT_BOOL, AT(deny), .help = "Refuse it" },
	{ "egress", 0, OPT_STR, AT(egress), .value = "host:port", .help = "To a name or an address outside: api.example.com:443" },
	{ "from", 0, OPT_STR, AT(from), .value = "end", .help = "A container, a label (app=web), an address, any, host or outside",
	  .initial = "any", .complete = COMPLETE_WORDS, .words = ENDS },
	{ "port", 0, OPT_STR, AT(port), .value = "port", .help = "Port or range (8000-8010) that it is sent to" },
	{ "protocol", 0, OPT_STR, AT(protocol), .help = "tcp, udp, sctp or icmp; tcp where there is a port", .complete = COMPLETE_WORDS,
	  .words = "tcp udp sctp icmp" },
	{ "to", 0, OPT_STR, AT(to), .value = "end", .help = "The same of where it goes", .initial = "any", .complete = COMPLETE_WORDS,
	  .words = ENDS },
	OPTIONS_END
};

static int run_add(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct add_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	struct network_rule_new wanted = { o->from, o->to, o->egress, o->port, o->protocol, o->allow };
	int64_t id = 0;
	if (o->allow == o->deny) {
		err_set(&err, ERR_INVALID, 0, "a rule says either --allow or --deny");
		err_hint(&err, "hull network rule add %s --from web --to db --port 5432 --allow", argv[0]);
		return cli_fail(cli, &err);
	}
	if (engine_open(&engine, &err) < 0 || network_rule_add(engine, argv[0], &wanted, &id, &err) < 0)
		return cli_fail(cli, &err);
	printf("%lld\n", (long long)id);
	return 0;
}

const struct verb verb_network_rule_add = {
	.names = { "network rule add" },
	.args = "[OPTIONS] NETWORK",
	.brief = "Add a rule to an isolated network",
	.details = "The rules of an isolated network are tried in the order of their numbers; the first that fits decides, and what none "
		   "fits is refused: between its containers, with the host and with what is outside. Answers to what was allowed pass, "
		   "and so does what comes in by a published port. Ends that are containers or labels follow them over restarts.",
	.options = add_options,
	.opts_size = sizeof(struct add_opts),
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_NETWORK,
	.run = run_add,
};

/* ---- rule ls ---- */

struct ls_opts {
	const char *format;
	bool quiet;
};

static const struct option ls_options[] = {
	{ "format", 0, OPT_STR, offsetof(struct ls_opts, format), .help = "table, json or a Go template" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct ls_opts, quiet), .help = "Only display numbers" },
	OPTIONS_END
};

static const struct image_column rule_columns[] = {
	{ "ID", "RULE" }, { "From", "FROM" }, { "To", "TO" }, { "Protocol", "PROTOCOL" }, { "Port", "PORT" }, { "Action", "ACTION" },
};

/* As it was given: a container's name or an address needs no word before it. */
static const char *shown_end(const char *end)
{
	static const char *const plain[] = { "container:", "address:", "name:" };
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (str_starts_with(end, plain[i]))
			return end + strlen(plain[i]);
	return end;
}

static int run_ls(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct ls_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_NETWORK struct network *n = NULL;
	CLEANUP_RULES struct network_rule_list rules = { 0 };
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = rule_columns, .columns_n = ARRAY_LEN(rule_columns) };
	if (engine_open(&engine, &err) < 0 || network_find(engine, argv[0], &n, &err) < 0 ||
	    network_rules_read(engine, n->name, &rules, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < rules.n; i++) {
		const struct network_rule *r = &rules.v[i];
		CLEANUP_FREE char *id = str_printf("%lld", (long long)r->id), *ports = network_rule_ports(r);
		image_rows_add(&rows, id, shown_end(r->from), shown_end(r->to), r->protocol[0] ? r->protocol : "any", *ports ? ports : "any",
			       r->allow ? "allow" : "deny");
	}
	if (o->quiet && !o->format)
		image_rows_print_key(&rows, "ID");
	else if (image_rows_print(&rows, o->format, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_network_rule_ls = {
	.names = { "network rule ls", "network rule list" },
	.args = "[OPTIONS] NETWORK",
	.brief = "List the rules of a network",
	.options = ls_options,
	.opts_size = sizeof(struct ls_opts),
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_NETWORK,
	.run = run_ls,
};

/* ---- rule rm ---- */

static const struct option no_options[] = { OPTIONS_END };

static int run_rm(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	for (int i = 1; i < argc; i++) {
		int64_t id;
		if (str_parse_i64(argv[i], &id) < 0) {
			err_set(&err, ERR_INVALID, 0, "invalid rule number %s", argv[i]);
			err_hint(&err, "hull network rule ls %s", argv[0]);
			return cli_fail(cli, &err);
		}
		if (network_rule_remove(engine, argv[0], id, &err) < 0)
			return cli_fail(cli, &err);
		printf("%s\n", argv[i]);
	}
	return 0;
}

const struct verb verb_network_rule_rm = {
	.names = { "network rule rm", "network rule remove" },
	.args = "NETWORK RULE [RULE...]",
	.brief = "Remove rules of a network",
	.options = no_options,
	.opts_size = 1,
	.min_args = 2,
	.max_args = -1,
	.complete = COMPLETE_NETWORK,
	.run = run_rm,
};

/* ---- log ---- */

struct log_opts {
	const char *format;
};

static const struct option log_options[] = {
	{ "format", 0, OPT_STR, offsetof(struct log_opts, format), .help = "table, json or a Go template" },
	OPTIONS_END
};

static const struct image_column log_columns[] = {
	{ "Ago", "AGO" }, { "From", "FROM" }, { "To", "TO" }, { "Protocol", "PROTOCOL" }, { "Port", "PORT" }, { "Packets", "PACKETS" },
};

static int run_log(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct log_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(network_log_done) struct network_log log = { 0 };
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = log_columns, .columns_n = ARRAY_LEN(log_columns) };
	if (engine_open(&engine, &err) < 0 || network_log_read(engine, argc ? argv[0] : NULL, &log, &err) < 0)
		return cli_fail(cli, &err);
	for (size_t i = 0; i < log.n; i++) {
		const struct network_log_line *l = &log.v[i];
		char port[8] = "", packets[24];
		CLEANUP_FREE char *ago = str_printf("%llu s", (unsigned long long)(l->ago_ms / 1000));
		snprintf(packets, sizeof(packets), "%llu", (unsigned long long)l->packets);
		if (l->port)
			snprintf(port, sizeof(port), "%u", l->port);
		image_rows_add(&rows, ago, l->from, l->to, l->protocol, port, packets);
	}
	return image_rows_print(&rows, o->format, &err) < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_network_log = {
	.names = { "network log" },
	.args = "[OPTIONS] [NETWORK]",
	.brief = "Show what the rules of networks and --egress refused",
	.details = "What was refused in the last hour, newest first: who wanted to reach whom, and how often. The kernel itself keeps the "
		   "list; nothing has to run for it.",
	.options = log_options,
	.opts_size = sizeof(struct log_opts),
	.max_args = 1,
	.complete = COMPLETE_NETWORK,
	.run = run_log,
};
