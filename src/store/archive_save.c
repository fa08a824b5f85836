/* SPDX-License-Identifier: Apache-2.0 */
#include "archive_save.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "fd.h"
#include "json.h"
#include "reference.h"

#define DOCUMENT_MAX (8u << 20)
#define BLOCK 512
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"

/* ---- a tar writer for plain files with short names ---- */

static void put_octal(char *field, size_t size, uint64_t v)
{
	/* Beyond eleven octal digits: base 256, as GNU tar writes it. */
	if (size == 12 && v >> 33) {
		memset(field, 0, size);
		field[0] = (char)0x80;
		for (size_t i = 0; i < 8; i++)
			field[size - 1 - i] = (char)(v >> (8 * i));
		return;
	}
	field[size - 1] = '\0';
	for (size_t i = size - 1; i > 0; i--, v >>= 3)
		field[i - 1] = (char)('0' + (v & 7));
}

static int put_header(int fd, const char *name, uint64_t size, struct err *err)
{
	char h[BLOCK] = { 0 };
	unsigned sum = 0;
	memcpy(h, name, strnlen(name, 99));
	put_octal(h + 100, 8, 0444);
	put_octal(h + 108, 8, 0);
	put_octal(h + 116, 8, 0);
	put_octal(h + 124, 12, size);
	put_octal(h + 136, 12, 0);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, "ustar\0" "00", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)h[i];
	put_octal(h + 148, 7, sum);
	int r = fd_write_all(fd, h, BLOCK);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the archive") : 0;
}

static int put_padding(int fd, uint64_t size, struct err *err)
{
	static const char zeros[BLOCK];
	size_t rest = size % BLOCK;
	int r = rest ? fd_write_all(fd, zeros, BLOCK - rest) : 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the archive") : 0;
}

static int put_text(int fd, const char *name, const void *data, size_t len, struct err *err)
{
	int r = put_header(fd, name, len, err);
	if (r < 0)
		return r;
	if ((r = fd_write_all(fd, data, len)) < 0)
		return err_set(err, ERR_SYSTEM, r, "write the archive");
	return put_padding(fd, len, err);
}

static int put_file(int fd, const char *name, const char *path, struct err *err)
{
	CLEANUP_FD int in = open(path, O_RDONLY | O_CLOEXEC);
	CLEANUP_FREE char *chunk = malloc(1 << 18);
	struct stat st;
	if (in < 0 || !chunk || fstat(in, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	int r = put_header(fd, name, (uint64_t)st.st_size, err);
	for (int64_t left = st.st_size; r >= 0 && left > 0;) {
		ssize_t n = read(in, chunk, left < 1 << 18 ? (size_t)left : 1 << 18);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_SYSTEM, n < 0 ? -errno : -EIO, "read %s", path);
		if ((r = fd_write_all(fd, chunk, (size_t)n)) < 0)
			return err_set(err, ERR_SYSTEM, r, "write the archive");
		left -= n;
	}
	return r < 0 ? r : put_padding(fd, (uint64_t)st.st_size, err);
}

/* ---- manifests ---- */

struct blob {
	char digest[72], media_type[80];
	int64_t bytes;
};

static int find_blob(struct store *store, const char *diffid, struct blob *ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, "SELECT digest, bytes, media_type FROM blobs WHERE diffid=? ORDER BY 1", "s",
			 diffid);
	if (r < 0 || (r = db_next(q, err)) < 0)
		return r;
	if (r == 0)
		return err_set(err, ERR_UNSUPPORTED, 0, "layer %s is not kept in a form that can be sent", diffid);
	snprintf(ret->digest, sizeof(ret->digest), "%s", db_text(q, 0));
	ret->bytes = db_i64(q, 1);
	snprintf(ret->media_type, sizeof(ret->media_type), "%s", db_text(q, 2));
	return 0;
}

/* Are all layers of this manifest among the kept blobs? */
static int has_blobs(struct store *store, const char *manifest, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	int64_t one;
	int r = json_parse(manifest, strlen(manifest), "manifest", &root, err);
	if (r < 0)
		return r;
	const struct json *layers = json_get(root, "layers");
	for (size_t i = 0; i < json_array_len(layers); i++) {
		r = db_query_i64(store->db, &one, err, "SELECT 1 FROM blobs WHERE digest=?", "s",
				 json_get_str_or(json_array_at(layers, i), "digest", ""));
		if (r <= 0)
			return r;
	}
	return 1;
}

static int stored_manifest(struct store *store, const char *id, struct buf *out, char type[80], char digest[72],
			   struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, "SELECT document, media_type, digest FROM manifests WHERE image=?", "s", id);
	while (r >= 0 && (r = db_next(q, err)) > 0) {
		const char *text = db_text(q, 0);
		r = has_blobs(store, text, err);
		if (r <= 0)
			continue;
		snprintf(type, 80, "%s", db_text(q, 1));
		snprintf(digest, 72, "%s", db_text(q, 2));
		return buf_append_str(out, text) < 0 ? -ENOMEM : 1;
	}
	return r;
}

static void write_descriptor(struct json_writer *w, const char *type, const char *digest, int64_t size)
{
	jw_object(w);
	jw_kv_str(w, "mediaType", type);
	jw_kv_str(w, "digest", digest);
	jw_kv_i64(w, "size", size);
	jw_object_end(w);
}

int image_manifest(struct store *store, const struct image *image, struct buf *out, char ret_type[80],
		   char ret_digest[72], struct err *err)
{
	struct json_writer w;
	size_t start = out->len;
	int r = stored_manifest(store, image->id, out, ret_type, ret_digest, err);
	if (r != 0)
		return r < 0 ? r : 0;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_i64(&w, "schemaVersion", 2);
	jw_kv_str(&w, "mediaType", OCI_MANIFEST);
	jw_key(&w, "config");
	write_descriptor(&w, OCI_CONFIG, image->id, (int64_t)strlen(image->text));
	jw_key(&w, "layers");
	jw_array(&w);
	for (size_t i = 0; i < image->config->diffids.n; i++) {
		struct blob blob;
		if ((r = find_blob(store, image->config->diffids.v[i], &blob, err)) < 0)
			return r;
		write_descriptor(&w, blob.media_type, blob.digest, blob.bytes);
	}
	jw_array_end(&w);
	jw_object_end(&w);
	if ((r = json_writer_finish(&w)) < 0)
		return err_set(err, ERR_SYSTEM, r, "write a manifest");
	snprintf(ret_type, 80, "%s", OCI_MANIFEST);
	digest_of(out->data + start, out->len - start, ret_digest);
	return 0;
}

/* ---- the archive ---- */

struct save {
	struct store *store;
	int fd;
	struct strv written; /* digests that are in the archive */
	struct buf index, docker;
	struct json_writer index_writer, docker_writer;
};

static void save_done(struct save *s)
{
	strv_free(&s->written);
	buf_free(&s->index);
	buf_free(&s->docker);
}

/* Write a blob once: from @data, or from the store. */
static int put_blob(struct save *s, const char *digest, const char *data, size_t len, struct err *err)
{
	char name[100];
	if (strv_contains(&s->written, digest))
		return 0;
	strv_add(&s->written, digest);
	snprintf(name, sizeof(name), "blobs/sha256/%.64s", digest_hex(digest));
	if (data)
		return put_text(s->fd, name, data, len, err);
	CLEANUP_FREE char *path = store_blob_path(s->store, digest);
	return put_file(s->fd, name, path, err);
}

static int put_layers(struct save *s, const struct json *manifest, struct err *err)
{
	struct json_writer *d = &s->docker_writer;
	const struct json *layers = json_get(manifest, "layers");
	jw_key(d, "Layers");
	jw_array(d);
	for (size_t i = 0; i < json_array_len(layers); i++) {
		const char *digest = json_get_str(json_array_at(layers, i), "digest");
		if (!digest || !digest_is_valid(digest))
			return err_set(err, ERR_INVALID, 0, "a kept manifest is damaged");
		int r = put_blob(s, digest, NULL, 0, err);
		if (r < 0)
			return r;
		CLEANUP_FREE char *name = str_printf("blobs/sha256/%s", digest_hex(digest));
		jw_str(d, name);
	}
	jw_array_end(d);
	return 0;
}

static void index_entry(struct save *s, const char *type, const char *digest, size_t size, const char *tag)
{
	struct json_writer *w = &s->index_writer;
	jw_object(w);
	jw_kv_str(w, "mediaType", type);
	jw_kv_str(w, "digest", digest);
	jw_kv_i64(w, "size", (int64_t)size);
	if (tag) {
		const char *suffix = reference_suffix(tag);
		jw_key(w, "annotations");
		jw_object(w);
		jw_kv_str(w, "io.containerd.image.name", tag);
		jw_kv_str(w, "org.opencontainers.image.ref.name", *suffix == ':' ? suffix + 1 : "latest");
		jw_object_end(w);
	}
	jw_object_end(w);
}

static int save_image(struct save *s, const char *name, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_STRV struct strv tags = { 0 }, digests = { 0 };
	CLEANUP_BUF struct buf manifest = BUF_INIT(DOCUMENT_MAX);
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_REFERENCE struct reference ref = { 0 };
	char type[80], digest[72];
	int r = image_resolve(s->store, name, &image, err);
	if (r < 0 || (r = image_names(s->store, image->id, &tags, &digests, err)) < 0 ||
	    (r = image_manifest(s->store, image, &manifest, type, digest, err)) < 0 ||
	    (r = json_parse(buf_str(&manifest), manifest.len, "manifest", &root, err)) < 0)
		return r;
	/* Named by a tag: only that one goes along. */
	if (reference_parse(name, true, &ref, NULL) == 0) {
		CLEANUP_FREE char *full = reference_full(&ref);
		if (strv_contains(&tags, full)) {
			strv_free(&tags);
			strv_add(&tags, full);
		}
	}
	struct json_writer *d = &s->docker_writer;
	CLEANUP_FREE char *config = str_printf("blobs/sha256/%s", digest_hex(image->id));
	jw_object(d);
	jw_kv_str(d, "Config", config);
	jw_key(d, "RepoTags");
	if (tags.n) {
		jw_array(d);
		for (size_t i = 0; i < tags.n; i++)
			jw_str(d, reference_familiar(tags.v[i]));
		jw_array_end(d);
	} else {
		jw_null(d);
	}
	if ((r = put_blob(s, image->id, image->text, strlen(image->text), err)) < 0 ||
	    (r = put_layers(s, root, err)) < 0 ||
	    (r = put_blob(s, digest, buf_str(&manifest), manifest.len, err)) < 0)
		return r;
	jw_object_end(d);
	for (size_t i = 0; i < tags.n; i++)
		index_entry(s, type, digest, manifest.len, tags.v[i]);
	if (tags.n == 0)
		index_entry(s, type, digest, manifest.len, NULL);
	return 0;
}

int archive_save(struct store *store, const char *const *names, size_t n, int fd, struct err *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	static const char end[2 * BLOCK];
	CLEANUP(save_done) struct save s = { .store = store, .fd = fd, .index = BUF_INIT(DOCUMENT_MAX),
					     .docker = BUF_INIT(DOCUMENT_MAX) };
	json_writer_init(&s.index_writer, &s.index, 0);
	json_writer_init(&s.docker_writer, &s.docker, 0);
	jw_object(&s.index_writer);
	jw_kv_i64(&s.index_writer, "schemaVersion", 2);
	jw_kv_str(&s.index_writer, "mediaType", "application/vnd.oci.image.index.v1+json");
	jw_key(&s.index_writer, "manifests");
	jw_array(&s.index_writer);
	jw_array(&s.docker_writer);
	int r = put_text(fd, "oci-layout", layout, strlen(layout), err);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = save_image(&s, names[i], err);
	if (r < 0)
		return r;
	jw_array_end(&s.index_writer);
	jw_object_end(&s.index_writer);
	jw_array_end(&s.docker_writer);
	if ((r = json_writer_finish(&s.index_writer)) < 0 || (r = json_writer_finish(&s.docker_writer)) < 0)
		return err_set(err, ERR_SYSTEM, r, "write the archive's index");
	if ((r = put_text(fd, "index.json", s.index.data, s.index.len, err)) < 0 ||
	    (r = put_text(fd, "manifest.json", s.docker.data, s.docker.len, err)) < 0)
		return r;
	r = fd_write_all(fd, end, sizeof(end));
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the archive") : 0;
}
