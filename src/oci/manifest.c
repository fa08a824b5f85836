/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest.h"

#include <string.h>

#include "platform.h"
#include "reference.h"

#define INDEX_MAX 4096

static const char *const image_types[] = { MANIFEST_OCI, MANIFEST_DOCKER };
static const char *const index_types[] = { MANIFEST_OCI_INDEX, MANIFEST_DOCKER_LIST };
static const char *const config_types[] = {
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json",
};
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
};

#define IS_ONE_OF(list, s) is_one_of(list, ARRAY_LEN(list), s)
static bool is_one_of(const char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i], s))
			return true;
	return false;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	free(m->layers);
	json_free(m->root);
	free(m);
}

void media_type_bare(const char *content_type, char *out, size_t size)
{
	size_t len = strcspn(content_type, "; \t");
	if (len >= size)
		len = 0;
	memcpy(out, content_type, len);
	out[len] = '\0';
}

static int bad(struct err *err, const char *why)
{
	int r = err_set(err, ERR_INVALID, 0, "the registry sent an invalid manifest");
	err_why(err, "%s", why);
	return r;
}

static int read_descriptor(const struct json *d, int64_t max, struct descriptor *ret, struct err *err)
{
	const char *type = json_get_str_or(d, "mediaType", ""), *digest = json_get_str(d, "digest");
	int64_t size = json_get_i64(d, "size", -1);
	if (json_kind(d) != JT_OBJECT || !digest)
		return bad(err, "a descriptor has no digest");
	if (!digest_is_valid(digest))
		return bad(err, "a descriptor's digest is not one");
	if (!str_starts_with(digest, "sha256:"))
		return err_set(err, ERR_UNSUPPORTED, 0, "the image uses digests other than sha256");
	if (size < 0 || size > max)
		return bad(err, "a descriptor's size is missing or too large");
	if (strlen(type) >= sizeof(ret->media_type))
		return bad(err, "a media type is too long");
	*ret = (struct descriptor){ .size = size };
	memcpy(ret->media_type, type, strlen(type));
	memcpy(ret->digest, digest, strlen(digest));
	return 0;
}

static int read_layers(const struct json *layers, struct manifest *m, struct err *err)
{
	size_t n = json_array_len(layers);
	if (json_kind(layers) != JT_ARRAY)
		return bad(err, "\"layers\" is not a list");
	if (n > MANIFEST_LAYERS_MAX)
		return bad(err, "it has too many layers");
	m->layers = mem_calloc(n + 1, sizeof(*m->layers));
	for (size_t i = 0; i < n; i++) {
		const struct json *d = json_array_at(layers, i);
		int r = read_descriptor(d, MANIFEST_LAYER_MAX, &m->layers[i], err);
		if (r < 0)
			return r;
		if (!IS_ONE_OF(layer_types, m->layers[i].media_type)) {
			r = err_set(err, ERR_UNSUPPORTED, 0, "layer %zu has a type that hull cannot unpack", i + 1);
			/* Foreign layers live at addresses of the image's choosing. */
			err_why(err, strstr(m->layers[i].media_type, "foreign") || strstr(m->layers[i].media_type, "nondistributable")
					 ? "%.100s: it may not be distributed and is not in the registry"
					 : "%.100s", m->layers[i].media_type);
			return r;
		}
		m->layers_n++;
	}
	return 0;
}

static int read_image(const struct json *root, struct manifest *m, struct err *err)
{
	const struct json *config = json_get(root, "config");
	if (!config)
		return bad(err, "it has no configuration");
	int r = read_descriptor(config, MANIFEST_CONFIG_MAX, &m->config, err);
	if (r < 0)
		return r;
	if (!IS_ONE_OF(config_types, m->config.media_type)) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "this is not a container image");
		err_why(err, "its configuration is of type %.100s",
			*m->config.media_type ? m->config.media_type : "(none)");
		return r;
	}
	return read_layers(json_get(root, "layers"), m, err);
}

/* Which of the two it is: "mediaType", the registry's Content-Type and the
 * contents must all agree, or two programs would read it differently. */
static int decide_kind(const struct json *root, const char *content_type, struct manifest *m, struct err *err)
{
	char said[128];
	const char *own = json_get_str_or(root, "mediaType", "");
	bool has_layers = json_get(root, "layers") || json_get(root, "config"), has_manifests = json_get(root, "manifests");
	media_type_bare(content_type ? content_type : "", said, sizeof(said));
	bool is_said_known = IS_ONE_OF(image_types, said) || IS_ONE_OF(index_types, said);
	if (json_get(root, "fsLayers") || json_get_i64(root, "schemaVersion", 0) == 1) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "the image is in Docker's old schema 1 format");
		err_why(err, "it was given up for being unverifiable; the image has to be pushed again");
		return r;
	}
	if (json_get_i64(root, "schemaVersion", 0) != 2)
		return bad(err, "\"schemaVersion\" is not 2");
	if (has_layers && has_manifests)
		return bad(err, "it is an image and an index at once");
	if (!has_layers && !has_manifests)
		return bad(err, "it is neither an image nor an index");
	if (*own && is_said_known && !str_eq(own, said))
		return bad(err, "its media type is not the one the registry gives");
	const char *type = *own ? own : is_said_known ? said : has_manifests ? MANIFEST_OCI_INDEX : MANIFEST_OCI;
	if (has_manifests ? IS_ONE_OF(image_types, type) : IS_ONE_OF(index_types, type))
		return bad(err, "its contents are not of its media type");
	if (!IS_ONE_OF(image_types, type) && !IS_ONE_OF(index_types, type)) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "this is not a container image");
		err_why(err, "its type is %.100s", type);
		return r;
	}
	m->is_index = has_manifests;
	memcpy(m->media_type, type, strlen(type));
	return 0;
}

int manifest_parse(const char *text, size_t len, const char *content_type, struct manifest **ret, struct err *err)
{
	CLEANUP_MANIFEST struct manifest *m = mem_calloc(1, sizeof(*m));
	struct err json_err = ERR_INIT;
	int r = json_parse(text, len, "manifest", &m->root, &json_err);
	if (r < 0)
		return bad(err, json_err.msg);
	if (json_kind(m->root) != JT_OBJECT)
		return bad(err, "it is not a JSON object");
	if ((r = decide_kind(m->root, content_type, m, err)) < 0)
		return r;
	if (!m->is_index) {
		if ((r = read_image(m->root, m, err)) < 0)
			return r;
	} else if (json_kind(json_get(m->root, "manifests")) != JT_ARRAY ||
		   json_array_len(json_get(m->root, "manifests")) > INDEX_MAX) {
		return bad(err, "\"manifests\" is not a list, or too long");
	}
	*ret = TAKE_PTR(m);
	return 0;
}

/* "linux/amd64, linux/arm64/v8" */
static void list_platforms(const struct json *list, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; i < json_array_len(list) && r == 0; i++) {
		const struct json *p = json_get(json_array_at(list, i), "platform");
		const char *os = json_get_str(p, "os"), *arch = json_get_str(p, "architecture"), *v = json_get_str(p, "variant");
		if (os && arch && !str_eq(os, "unknown"))
			r = buf_printf(out, "%s%.20s/%.20s%s%.10s", out->len ? ", " : "", os, arch, v ? "/" : "", v ? v : "");
	}
}

int manifest_choose(const struct manifest *index, const char *platform, struct descriptor *ret, struct err *err)
{
	const struct json *list = json_get(index->root, "manifests"), *d = platform_choose(list, platform);
	if (d)
		return read_descriptor(d, MANIFEST_CONFIG_MAX, ret, err);
	CLEANUP_BUF struct buf there = BUF_INIT(200);
	list_platforms(list, &there);
	int r = err_set(err, ERR_NOT_FOUND, 0, "no matching manifest for %s%s in the manifest list entries",
			platform ? platform : "linux/", platform ? "" : platform_architecture());
	if (there.len)
		err_why(err, "the image is there for %s", buf_str(&there));
	return r;
}
