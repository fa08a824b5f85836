/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers and names of containers and volumes: what is allowed, and the
 * names made up for those who give none. Pure. */
#pragma once

#include <stdbool.h>

#include "err.h"

#define ID_SIZE 65
#define ID_SHORT 12

/* 64 random hex digits, never all decimal in the first twelve (a short id must
 * not look like a number). */
void id_generate(char ret[ID_SIZE]);
/* 64 hex digits, exactly. */
bool id_is_valid(const char *id);

/* Docker's rule and words; a leading slash is dropped (*name moves). */
int container_name_check(const char **name, struct err *err) MUST_CHECK;
/* "adjective_noun"; with @attempt > 0 a digit follows. */
void container_name_generate(unsigned attempt, char ret[64]);
