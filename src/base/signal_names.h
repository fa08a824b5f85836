/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name, as --signal and STOPSIGNAL take them. */
#pragma once

#include "err.h"

/* "KILL", "SIGKILL", "kill", "9", "SIGRTMIN+3". ERR_INVALID in Docker's words. */
int signal_parse(const char *name, int *ret, struct err *err) MUST_CHECK;
/* "KILL", or NULL. */
const char *signal_short_name(int signo);
