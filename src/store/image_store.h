/* SPDX-License-Identifier: Apache-2.0 */
/* Images by name: what is there, what it is called, what may go.
 *
 * An image is a configuration (its digest is the image's id) over layers; names
 * ("docker.io/library/debian:12") point to it. The store does not know
 * containers: who asks to remove passes an image_users that does. */
#pragma once

#include "image_config.h"
#include "layers.h"
#include "store.h"

struct image {
	char id[72]; /* "sha256:..." */
	char *text;  /* the configuration document, byte for byte */
	struct image_config *config;
	int64_t added_ns, tagged_ns;
	char *parent; /* NULL: none */
};
void image_free(struct image *image);
static inline void cleanup_image(struct image **image)
{
	image_free(*image);
}
#define CLEANUP_IMAGE CLEANUP(cleanup_image)

/* Find by name, id, or a unique prefix of an id, as Docker does. The result is
 * the caller's. ERR_NOT_FOUND "No such image: x:latest". */
int image_resolve(struct store *store, const char *name, struct image **ret, struct err *err) MUST_CHECK;
/* Only the id. */
int image_resolve_id(struct store *store, const char *name, char ret_id[72], struct err *err) MUST_CHECK;
/* By full id, also one that has been removed by force while containers use it. */
int image_load(struct store *store, const char *id, struct image **ret, struct err *err) MUST_CHECK;

/* Append the stored names ("docker.io/library/debian:12") and the digests
 * ("docker.io/library/debian@sha256:..."). */
int image_names(struct store *store, const char *id, struct strv *ret_tags, struct strv *ret_digests,
		struct err *err) MUST_CHECK;
/* The first familiar name of the image, or "" (allocated). */
char *image_display_name(struct store *store, const char *id);

/* Point @reference (stored form, with a tag) to the image. */
int image_tag(struct store *store, const char *id, const char *reference, struct err *err) MUST_CHECK;

/* ---- adding ---- */
struct image_new {
	const char *config;
	size_t config_len;
	/* One for each diff id of the configuration, in order. */
	const struct layer_new *layers;
	size_t layers_n;
	const char *parent;      /* id, or NULL */
	const char *tag;         /* stored reference to set, or NULL */
	const char *repo_digest; /* "registry/name@sha256:...", or NULL */
	/* As the registry sent it; NULL: none. */
	const char *manifest, *manifest_digest, *manifest_type;
};
/* Sync the files of @layers, then in one transaction move them in, add the
 * image and set its names. *ret_id gets the image's id. -ESTALE when a layer
 * counted on as present has been removed meanwhile: begin again. An image that
 * is there already only gets the names. */
int image_add(struct store *store, const struct ingest *ingest, const struct image_new *image, char ret_id[72],
	      struct err *err) MUST_CHECK;

/* ---- removing ---- */
struct image_user {
	char container[65];
	bool is_running;
};
/* Says which container uses an image, running ones first. */
struct image_users {
	/* 1 and *ret filled, 0 when none, or an error. */
	int (*find)(void *ctx, const char *image_id, struct image_user *ret, struct err *err);
	void *ctx;
};
/* Docker's rmi: remove a name, and the image with its unused layers when it was
 * the last, or by id. Appends "Untagged: debian:12", "Deleted: sha256:..." to
 * @report. ERR_NOT_FOUND, or ERR_CONFLICT in Docker's words. */
int image_remove(struct store *store, const char *name, bool force, const struct image_users *users,
		 struct strv *report, struct err *err) MUST_CHECK;

struct image_prune {
	bool all;               /* not only those without a name */
	int64_t until_ns;       /* only created before; 0: any */
	struct strv labels;     /* "key" or "key=value": must match */
	struct strv not_labels; /* must not match */
};
int image_prune(struct store *store, const struct image_prune *what, const struct image_users *users,
		struct strv *report, int64_t *ret_freed_bytes, struct err *err) MUST_CHECK;
/* What image_collect() asks first; for db_prepare_ahead(). */
#define IMAGES_ARE_HIDDEN "SELECT 1 FROM images WHERE is_hidden LIMIT 1"
/* Drop hidden images that no container uses any more; call it when a container
 * is removed. One cheap query when there is none. */
int image_collect(struct store *store, const struct image_users *users, struct err *err) MUST_CHECK;

/* ---- looking ---- */
struct image_summary {
	char id[72];
	char *parent;
	struct strv tags, digests; /* stored forms */
	struct strv labels;
	int64_t created_ns;
	int64_t size_bytes;   /* all its layers' files */
	int64_t unique_bytes; /* of layers that no other image has */
	int64_t layers_n;
};
/* All visible images, newest first. */
int image_list(struct store *store, struct image_summary **ret, size_t *ret_n, struct err *err) MUST_CHECK;
void image_list_free(struct image_summary *list, size_t n);
bool image_matches_labels(const struct strv *labels, const struct strv *wanted);
/* Sum of content bytes of an image's layers. */
int image_size(struct store *store, const char *id, int64_t *ret, struct err *err) MUST_CHECK;
/* What all layers and kept blobs take on disk. */
int image_disk_usage(struct store *store, int64_t *ret_bytes, struct err *err) MUST_CHECK;
