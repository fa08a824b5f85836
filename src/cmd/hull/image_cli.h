/* SPDX-License-Identifier: Apache-2.0 */
/* What the image verbs share: who uses an image, rows of a
 * listing as table, JSON or template, progress on the terminal. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "image_progress.h"
#include "image_store.h"

/* Containers as users of images (image_store.h), by the engine's table. */
struct image_users image_cli_users(struct store *store);

/* Note the event @action ("tag", "delete", ...) of the image @id for `events`;
 * @name may be NULL. */
void image_cli_event(struct store *store, const char *action, const char *id, const char *name);

/* The store keeps one platform of an image: ERR_NOT_FOUND when @platform (may be
 * NULL) is another. */
int image_cli_check_platform(struct store *store, const char *name, const char *platform, struct err *err) MUST_CHECK;

/* ---- listings ----
 * Each row has a value for each of the keys. */
struct image_column {
	const char *key;    /* in --format: ".Repository" without the dot */
	const char *header; /* of the table; NULL: not in it */
};
struct image_rows {
	const struct image_column *columns;
	size_t columns_n;
	struct strv cells; /* columns_n for each row */
};
void image_rows_add(struct image_rows *rows, ...); /* columns_n strings */
/* @format: NULL or "table" for the table, "json" for an object a line, or a
 * template (format.h), with "table " before it for one line of headers. */
int image_rows_print(const struct image_rows *rows, const char *format, struct err *err) MUST_CHECK;
/* Only the values of @key, a line each (-q). */
void image_rows_print_key(const struct image_rows *rows, const char *key);
void image_rows_done(struct image_rows *rows);

/* ---- progress ----
 * A line for each layer that is redrawn on a terminal; elsewhere a line when
 * something begins or ends. Writes to @out. */
struct image_screen {
	FILE *out;
	bool is_fancy, is_quiet;
	struct strv ids; /* in order of appearance: the line on the screen */
	struct strv last; /* what each line says */
	int64_t drawn_ms;
};
struct image_progress image_screen_progress(struct image_screen *screen);
void image_screen_done(struct image_screen *screen);
