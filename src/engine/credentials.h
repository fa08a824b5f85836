/* SPDX-License-Identifier: Apache-2.0 */
/* Log-ins of registries, where Docker keeps them: config.json in $DOCKER_CONFIG or
 * ~/.docker, the docker-credential-* programs it names, and, for reading, podman's
 * $XDG_RUNTIME_DIR/containers/auth.json. */
#pragma once

#include "docker_config.h"

/* 1 with the log-in for @registry ("docker.io"), 0 when there is none. May start
 * a helper and wait for it. */
int credentials_get(const char *registry, struct registry_login *ret, struct err *err) MUST_CHECK;
/* Keep it; *ret_where (caller frees) is the file when it holds the secret openly,
 * NULL when a helper has it. */
int credentials_store(const char *registry, const struct registry_login *login, char **ret_where,
		      struct err *err) MUST_CHECK;
/* 1 removed, 0 there was none. */
int credentials_erase(const char *registry, struct err *err) MUST_CHECK;
