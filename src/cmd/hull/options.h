/* SPDX-License-Identifier: Apache-2.0 */
/* Command-line options as data: one table per verb, from which come the
 * parser, --help, the man page, the reference page and shell completion.
 *
 * The parser behaves as pflag does, because scripts written for Docker rely on
 * it: --name=value and --name value, -p8080:80, -p=8080:80, bundles (-it), a
 * boolean takes a value only after '=', "--" ends the options, and options may
 * follow arguments unless the verb says otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum option_type {
	OPT_BOOL,     /* bool */
	OPT_TRI,      /* enum tri: tells "not said" from false */
	OPT_STR,      /* const char *, borrowed from argv */
	OPT_LIST,     /* struct strv, one entry each time it is given */
	OPT_CSV,      /* struct strv, each value also split at commas */
	OPT_INT,      /* int64_t */
	OPT_UINT,     /* uint64_t */
	OPT_DOUBLE,   /* double */
	OPT_SIZE,     /* int64_t, bytes: 512m */
	OPT_DURATION, /* int64_t, nanoseconds: 1m30s */
	OPT_CALL,     /* the set function does it all */
	OPT_TYPE_COUNT
};

enum tri { TRI_UNSET, TRI_FALSE, TRI_TRUE };

/* What a value is, for completion. */
enum complete_kind {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_DIR,
	COMPLETE_CONTAINER,
	COMPLETE_CONTAINER_RUNNING,
	COMPLETE_CONTAINER_PAUSED,
	COMPLETE_CONTAINER_STOPPED,
	COMPLETE_CONTAINER_PATH, /* CONTAINER:PATH, or a file */
	COMPLETE_OBJECT,	 /* containers and images */
	COMPLETE_IMAGE,
	COMPLETE_NETWORK,
	COMPLETE_VOLUME,
	COMPLETE_VOLUME_MOUNT, /* VOLUME:PATH, or a file */
	COMPLETE_LEVEL,
	COMPLETE_VERB,
	COMPLETE_SIGNAL,
	COMPLETE_CAPABILITY,
	COMPLETE_PAIRS, /* the option's own list, joined by commas */
	COMPLETE_WORDS, /* the option's own list */
};

enum option_flag {
	OPTION_HULL = 1 << 0,   /* hull's own, Docker has none */
	OPTION_HIDDEN = 1 << 1, /* accepted, not shown */
	OPTION_REFUSED = 1 << 2, /* Docker's, known and refused; help is the reason */
};

struct option {
	const char *name; /* without dashes; NULL ends a table */
	char letter;
	enum option_type type;
	size_t offset; /* of the field in the verb's struct */
	const char *value; /* what --help calls the value; NULL: by type */
	const char *help;
	const char *initial; /* default, for --help only */
	enum complete_kind complete;
	/* Space-separated, for COMPLETE_WORDS and COMPLETE_PAIRS; one that ends in
	 * '=' or ':' wants more after it. */
	const char *words;
	unsigned flags;
	/* Called after (OPT_CALL: instead of) storing; borrows @value. */
	int (*set)(void *opts, const char *value, struct err *err);
};
#define OPTIONS_END { .name = NULL }
/* An option of Docker's that hull has not, and why; @t tells whether a value
 * follows. */
#define OPTION_REFUSE(n, t, reason) { .name = n, .type = t, .help = reason, .flags = OPTION_HIDDEN | OPTION_REFUSED }

struct option_parse {
	/* In: the tables (NULL ends the list), all over the one struct @opts. */
	const struct option *tables[4];
	void *opts;
	/* The first argument ends the options. */
	bool stop_at_first;
	/* Out: --help was given. */
	bool help;
	/* The option that an unknown one may have meant, or NULL. */
	const struct option *nearest;
	/* The word that was refused. */
	const char *bad;
	/* The arguments: borrowed strings in an allocated, NULL-terminated list. */
	char **args;
	int n_args;
};
/* Errors: ERR_INVALID, in pflag's words. */
int options_parse(struct option_parse *p, int argc, char **argv, struct err *err) MUST_CHECK;

/* Free what OPT_LIST and OPT_CSV gathered. */
void options_free(const struct option *table, void *opts);
/* "string", "list", "bytes", ... or the table's own word; "" for booleans. */
const char *option_value_name(const struct option *o);
const struct option *option_find(const struct option *const *tables, const char *name, size_t len);
const struct option *option_find_letter(const struct option *const *tables, char letter);
/* Takes a value from the next word. */
static inline bool option_takes_value(const struct option *o)
{
	return o->type != OPT_BOOL && o->type != OPT_TRI;
}
