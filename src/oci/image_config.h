/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration document (OCI image-spec config.md, Docker's image
 * JSON is a superset): read into a struct, and written. Pure data. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "str.h"

struct image_health {
	/* {"CMD", ...}, {"CMD-SHELL", "x"}, {"NONE"}; empty: inherit. */
	struct strv test;
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int64_t retries;
};

struct image_history {
	int64_t created_ns;
	char *created_by, *author, *comment;
	bool is_empty_layer;
};

struct image_config {
	char *os, *architecture, *variant, *author, *comment;
	int64_t created_ns; /* 0: not said */

	/* "config": how to run it. */
	char *user, *workdir, *stop_signal; /* NULL: not said */
	struct strv env;
	struct strv entrypoint, cmd, shell, onbuild;
	bool args_escaped;
	struct strv exposed_ports; /* "80/tcp" */
	struct strv volumes;       /* paths */
	struct strv labels;        /* "key=value" */
	bool has_health;
	struct image_health health;

	struct strv diffids; /* "sha256:...", lowest first */
	struct image_history *history;
	size_t history_n;
};

/* Parse and check: diff ids must be valid digests, strings be strings. On
 * success *ret is the caller's to free with image_config_free(). */
int image_config_parse(const char *text, size_t len, struct image_config **ret, struct err *err) MUST_CHECK;
/* The inverse: a whole document in canonical key order. */
int image_config_write(const struct image_config *config, struct buf *out) MUST_CHECK;
/* The "config" object alone in Docker's inspect spelling. */
void image_config_write_run(const struct image_config *config, struct json_writer *w);
struct image_config *image_config_new(void);
void image_config_free(struct image_config *config);
static inline void cleanup_image_config(struct image_config **config)
{
	image_config_free(*config);
}
#define CLEANUP_IMAGE_CONFIG CLEANUP(cleanup_image_config)

/* Append a zeroed entry and return it (valid until the next call). */
struct image_history *image_config_add_history(struct image_config *config);
