/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests and indexes as registries send them: OCI image-spec 1.1 and Docker
 * schema 2, which are the same but for names.
 *
 * A manifest comes from a stranger and says what else will be fetched, so it is
 * read strictly: known types, valid sha256 digests, sizes within bounds, never
 * both an image and an index, and nothing that its Content-Type denies. */
#pragma once

#include "json.h"

#define MANIFEST_OCI "application/vnd.oci.image.manifest.v1+json"
#define MANIFEST_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MANIFEST_DOCKER "application/vnd.docker.distribution.manifest.v2+json"
#define MANIFEST_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
/* For the Accept header. */
#define MANIFEST_ACCEPT MANIFEST_OCI_INDEX ", " MANIFEST_DOCKER_LIST ", " MANIFEST_OCI ", " MANIFEST_DOCKER

#define MANIFEST_LAYERS_MAX 1024
/* An image's configuration. */
#define MANIFEST_CONFIG_MAX (8LL << 20)
#define MANIFEST_LAYER_MAX (1ll << 40)

struct descriptor {
	char media_type[128];
	char digest[72]; /* "sha256:..." */
	int64_t size;
};

struct manifest {
	bool is_index;
	char media_type[128];
	/* An image: */
	struct descriptor config;
	struct descriptor *layers;
	size_t layers_n;
	/* An index: the document's list, for manifest_choose(). */
	struct json *root;
};

/* @content_type: what the registry called it; NULL or "": not said. On success
 * *ret is the caller's, to free with manifest_free(). ERR_INVALID, or
 * ERR_UNSUPPORTED when it is well-formed but no image that hull can run. */
int manifest_parse(const char *text, size_t len, const char *content_type, struct manifest **ret,
		   struct err *err) MUST_CHECK;
void manifest_free(struct manifest *m);
static inline void cleanup_manifest(struct manifest **m)
{
	manifest_free(*m);
}
#define CLEANUP_MANIFEST CLEANUP(cleanup_manifest)

/* The manifest of @index for @platform ("os/arch[/variant]", NULL: this
 * machine). ERR_NOT_FOUND in Docker's words, with what there is. */
int manifest_choose(const struct manifest *index, const char *platform, struct descriptor *ret,
		    struct err *err) MUST_CHECK;

/* A media type without its parameters, in @out. */
void media_type_bare(const char *content_type, char *out, size_t size);
