/* SPDX-License-Identifier: Apache-2.0 */
/* Texts generated from the verbs' tables: --help, roff man pages, markdown. */
#pragma once

#include <stdio.h>

#include "cli.h"

void help_verb(FILE *out, const struct cli *cli, const struct verb *verb);
void help_group(FILE *out, const struct cli *cli, const char *group);
void help_all(FILE *out, const struct cli *cli);
/* roff of hull-VERB(1); with NULL hull(1). */
void help_man(FILE *out, const struct verb *verb);
/* A markdown page of the reference; with NULL its index. */
void help_markdown(FILE *out, const struct verb *verb);
