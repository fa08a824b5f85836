/* SPDX-License-Identifier: Apache-2.0 */
/* Texts generated from the verbs' tables: --help here, roff man pages and
 * markdown in manual.c. */
#pragma once

#include <stdio.h>

#include "cli.h"

#define OPTIONS_MAX 256

/* The visible options in the order of their names. */
struct option_list {
	const struct option *v[OPTIONS_MAX];
	size_t n;
};
struct option_list help_verb_options(const struct verb *verb);
struct option_list help_global_options(void);

void help_verb(FILE *out, const struct cli *cli, const struct verb *verb);
void help_group(FILE *out, const struct cli *cli, const char *group);
void help_all(FILE *out, const struct cli *cli);

/* roff of hull-VERB(1); with NULL hull(1). */
void manual_roff(FILE *out, const struct verb *verb);
/* A markdown page of the reference; with NULL its index. */
void manual_markdown(FILE *out, const struct verb *verb);
/* Every page, and under a verb's other names a pointer to it, in the directory
 * @dir, which is made. */
int manual_write_all(const char *dir, struct err *err) MUST_CHECK;
