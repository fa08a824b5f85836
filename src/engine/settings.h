/* SPDX-License-Identifier: Apache-2.0 */
/* hull's own settings, gathered from files:
 *
 *   /etc/docker/daemon.json             registry-mirrors, insecure-registries,
 *                                         default-address-pools
 *   /etc/hull/hull.toml                 the same keys, and
 *   /etc/hull/conf.d/NAME.toml            [registry."HOST"] mirrors, insecure
 *   $XDG_CONFIG_HOME/hull/hull.toml     (or ~/.config)
 *
 * A later file replaces what an earlier one says; $HULL_CONFIG names one file to
 * be read instead of the three kinds of hull's. A file that is not there says
 * nothing; one that cannot be read is an error that names its line. */
#pragma once

#include "str.h"
#include "subnet_pool.h"

struct registry_settings {
	char *host;
	struct strv mirrors;
	bool is_insecure;
};

struct settings {
	/* For docker.io, as in Docker. */
	struct strv registry_mirrors;
	/* "host", "host:port", "10.0.0.0/8" */
	struct strv insecure_registries;
	struct registry_settings *registries;
	size_t registries_n;
	/* Where networks get their subnets from; none: hull's own choice. */
	struct subnet_pool *address_pools;
	size_t address_pools_n;
};

int settings_load(struct settings *ret, struct err *err) MUST_CHECK;
void settings_done(struct settings *s);
#define CLEANUP_SETTINGS CLEANUP(settings_done)

/* Add what the text of a hull.toml says; for tests and for settings_load(). */
int settings_add_toml(struct settings *s, const char *text, size_t len, const char *what, struct err *err) MUST_CHECK;
/* The same for a daemon.json. Keys that are none of hull's are skipped. */
int settings_add_daemon_json(struct settings *s, const char *text, size_t len, const char *what, struct err *err) MUST_CHECK;
