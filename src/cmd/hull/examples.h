/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of --help and of the manual, verb by verb. Each line is run by
 * tests/e2e/test_docs.py, which also says what is there when it begins. */
#pragma once

#include "verbs.h"

/* Lines of "command\n" or "# remark\n"; NULL when the verb has none. */
const char *verb_examples(const struct verb *verb);
