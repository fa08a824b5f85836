/* SPDX-License-Identifier: Apache-2.0 */
/* How to reach a registry, gathered from everywhere that says so: settings
 * (mirrors, insecure registries), credentials, environment. */
#pragma once

#include "fetch_proto.h"

/* Fill *@ret for the registry @name ("docker.io", "localhost:5000"); the
 * caller's to fetch_options_done(). */
/* The same without a log-in. */
int registry_reach(const char *name, struct fetch_options *ret, struct err *err) MUST_CHECK;
int registry_access(const char *name, struct fetch_options *ret, struct err *err) MUST_CHECK;
