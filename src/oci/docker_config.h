/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's config.json as far as registries go: who holds the credentials of
 * which, read and changed without touching what else is in the file. Pure text;
 * engine/credentials.h does the files and the helper programs. */
#pragma once

#include "buf.h"
#include "json.h"

/* A log-in; all allocated, NULL where not said. */
struct registry_login {
	char *username, *password, *identity_token, *registry_token;
};
void registry_login_done(struct registry_login *l);
#define CLEANUP_REGISTRY_LOGIN CLEANUP(registry_login_done)

/* How a registry of a reference ("docker.io") is called in the file
 * ("https://index.docker.io/v1/"). */
const char *docker_config_key(const char *registry);

/* The log-in that the document (NULL: none) itself holds for @registry: 1, or 0
 * when there is none. Keys with a scheme or a path before and after the host match
 * as they do in Docker. */
int docker_config_login(const struct json *config, const char *registry, struct registry_login *ret,
			struct err *err) MUST_CHECK;
/* The helper ("pass" of docker-credential-pass) for @registry, or NULL; borrowed. */
const char *docker_config_helper(const struct json *config, const char *registry);

/* Append @config (NULL: an empty one) with the log-in of @registry set or, with
 * @login NULL, removed. A log-in without secrets notes only that a helper has it. */
int docker_config_change(const struct json *config, const char *registry, const struct registry_login *login,
			 struct buf *out) MUST_CHECK;
/* Is there an entry at all? */
bool docker_config_has(const struct json *config, const char *registry);
