/* SPDX-License-Identifier: Apache-2.0 */
#include "archive_load.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_expand.h"
#include "convert.h"
#include "digest.h"
#include "fault.h"
#include "fd.h"
#include "image_store.h"
#include "json.h"
#include "platform.h"
#include "reference.h"
#include "tar_index.h"

#define DOCUMENT_MAX (8u << 20)
#define LAYERS_MAX 1024
#define INDEX_DEPTH_MAX 4

struct load {
	struct store *store;
	int fd;
	struct tar_index index;
	const struct image_progress *progress;
	struct strv *names;
};

/* One image of the archive, gathered. */
struct loaded {
	struct buf config;
	struct strv paths;   /* of the layers, in the archive */
	struct strv digests; /* of the layers as they are; empty: not known */
	struct strv media;   /* their media types, like digests */
	struct strv tags;    /* stored references */
	char *manifest, *manifest_type;
	char manifest_digest[DIGEST_SIZE];
};

static void loaded_done(struct loaded *l)
{
	buf_free(&l->config);
	strv_free(&l->paths);
	strv_free(&l->digests);
	strv_free(&l->media);
	strv_free(&l->tags);
	free(l->manifest);
	free(l->manifest_type);
}

static int find_in_jobs(const struct convert_job *jobs, size_t n, const char *diffid)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(jobs[i].diffid, diffid))
			return (int)i;
	return -1;
}

/* Convert what the store lacks, and add the image. */
static int add_image(struct load *load, const struct loaded *in, struct err *err)
{
	CLEANUP_IMAGE_CONFIG struct image_config *config = NULL;
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	char id[72], titles[LAYERS_MAX][13];
	int r = image_config_parse(buf_str(&in->config), in->config.len, &config, err);
	if (r < 0)
		return r;
	size_t n = config->diffids.n, jobs_n = 0;
	if (n != in->paths.n)
		return err_set(err, ERR_INVALID, 0, "the image has %zu layers, its configuration lists %zu", in->paths.n, n);
	CLEANUP_FREE struct convert_job *jobs = mem_calloc(n + 1, sizeof(*jobs));
	CLEANUP_FREE struct layer_new *layers = mem_calloc(n + 1, sizeof(*layers));
	for (size_t i = 0; i < n; i++) {
		const char *diffid = config->diffids.v[i];
		snprintf(layers[i].diffid, sizeof(layers[i].diffid), "%s", diffid);
		if ((r = layer_exists(load->store, diffid, err)) < 0)
			return r;
		if (r > 0 || find_in_jobs(jobs, jobs_n, diffid) >= 0)
			continue;
		const struct tar_member *m = tar_index_find(&load->index, in->paths.v[i]);
		if (!m)
			return err_set(err, ERR_INVALID, 0, "the archive has no %s", in->paths.v[i]);
		snprintf(titles[jobs_n], sizeof(titles[0]), "%.12s", digest_hex(diffid));
		jobs[jobs_n] = (struct convert_job){ .fd = load->fd, .offset = m->offset, .len = m->size,
						     .diffid = diffid, .title = titles[jobs_n],
						     .digest = in->digests.n ? in->digests.v[i] : NULL };
		jobs_n++;
	}
	if ((r = ingest_begin(load->store, &ingest, err)) < 0 ||
	    (r = convert_run(&ingest, jobs, jobs_n, 0, load->progress, err)) < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		int j = find_in_jobs(jobs, jobs_n, layers[i].diffid);
		if (j >= 0)
			layers[i] = jobs[j].out;
		/* The second use of a layer in the same image finds it present. */
		if (j >= 0)
			jobs[j].diffid = NULL;
	}
	struct image_new image = { .config = buf_str(&in->config), .config_len = in->config.len, .layers = layers,
				   .layers_n = n, .tag = in->tags.n ? in->tags.v[0] : NULL, .manifest = in->manifest,
				   .manifest_digest = in->manifest_digest, .manifest_type = in->manifest_type };
	if ((r = image_add(load->store, &ingest, &image, id, err)) < 0)
		return r;
	for (size_t i = 1; i < in->tags.n; i++)
		if ((r = image_tag(load->store, id, in->tags.v[i], err)) < 0)
			return r;
	if (in->tags.n)
		strv_extend(load->names, &in->tags);
	else
		strv_add(load->names, id);
	return 0;
}

static int add_tag(struct loaded *l, const char *name, struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	int r = reference_parse(name, true, &ref, err);
	if (r < 0)
		return err_context(err, r, "name \"%.100s\" in the archive", name);
	if (ref.tag)
		strv_take(&l->tags, reference_full(&ref));
	return 0;
}

/* ---- docker save ---- */

static int load_docker_image(struct load *load, const struct json *item, struct err *err)
{
	CLEANUP(loaded_done) struct loaded l = { .config = BUF_INIT(DOCUMENT_MAX) };
	CLEANUP_STRV struct strv tags = { 0 };
	const char *config = json_get_str(item, "Config");
	if (!config || json_get_strv(item, "Layers", &l.paths) < 0 || json_get_strv(item, "RepoTags", &tags) < 0)
		return err_set(err, ERR_INVALID, 0, "manifest.json in the archive is not what docker save writes");
	if (l.paths.n > LAYERS_MAX)
		return err_set(err, ERR_INVALID, 0, "an image with more than %d layers", LAYERS_MAX);
	int r = tar_index_load(load->fd, &load->index, config, &l.config, err);
	for (size_t i = 0; r >= 0 && i < tags.n; i++)
		r = add_tag(&l, tags.v[i], err);
	return r < 0 ? r : add_image(load, &l, err);
}

static int load_docker(struct load *load, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
	CLEANUP_JSON struct json *root = NULL;
	int r = tar_index_load(load->fd, &load->index, "manifest.json", &text, err);
	if (r < 0 || (r = json_parse(buf_str(&text), text.len, "manifest.json", &root, err)) < 0)
		return r;
	if (json_array_len(root) == 0)
		return err_set(err, ERR_INVALID, 0, "manifest.json in the archive lists no image");
	for (size_t i = 0; r >= 0 && i < json_array_len(root); i++)
		r = load_docker_image(load, json_array_at(root, i), err);
	return r;
}

/* ---- OCI ---- */

static char *blob_member(const char *digest)
{
	return str_printf("blobs/sha256/%s", digest_hex(digest));
}

/* A document of the archive by digest, verified. */
static int load_blob(struct load *load, const char *digest, struct buf *out, struct err *err)
{
	char actual[DIGEST_SIZE];
	if (!digest || !digest_is_valid(digest) || !str_starts_with(digest, "sha256:"))
		return err_set(err, ERR_INVALID, 0, "the archive has an invalid digest");
	CLEANUP_FREE char *name = blob_member(digest);
	int r = tar_index_load(load->fd, &load->index, name, out, err);
	if (r < 0)
		return r;
	if (!str_eq(digest_of(out->data, out->len, actual), digest)) {
		err_set(err, ERR_INVALID, 0, "a document in the archive does not match its digest");
		err_why(err, "expected %s, got %s", digest, actual);
		return -EBADMSG;
	}
	return 0;
}

static int load_manifest(struct load *load, const struct json *root, const struct buf *text, const char *digest,
			 const char *name, struct err *err)
{
	CLEANUP(loaded_done) struct loaded l = { .config = BUF_INIT(DOCUMENT_MAX) };
	const struct json *layers = json_get(root, "layers");
	if (json_array_len(layers) > LAYERS_MAX)
		return err_set(err, ERR_INVALID, 0, "an image with more than %d layers", LAYERS_MAX);
	int r = load_blob(load, json_get_str(json_get(root, "config"), "digest"), &l.config, err);
	for (size_t i = 0; r >= 0 && i < json_array_len(layers); i++) {
		const char *d = json_get_str(json_array_at(layers, i), "digest");
		if (!d || !digest_is_valid(d) || !str_starts_with(d, "sha256:"))
			return err_set(err, ERR_INVALID, 0, "the archive has an invalid digest");
		strv_add(&l.digests, d);
		strv_take(&l.paths, blob_member(d));
	}
	if (r >= 0 && name)
		r = add_tag(&l, name, err);
	if (r < 0)
		return r;
	l.manifest = str_dup(buf_str(text));
	l.manifest_type = str_dup(json_get_str_or(root, "mediaType", "application/vnd.oci.image.manifest.v1+json"));
	snprintf(l.manifest_digest, sizeof(l.manifest_digest), "%s", digest);
	return add_image(load, &l, err);
}

/* The name of a descriptor: containerd's is whole, OCI's is often a bare tag. */
static const char *descriptor_name(const struct json *descriptor)
{
	const struct json *a = json_get(descriptor, "annotations");
	const char *whole = json_get_str(a, "io.containerd.image.name");
	const char *name = whole ? whole : json_get_str(a, "org.opencontainers.image.ref.name");
	return name && (whole || strpbrk(name, ":/")) ? name : NULL;
}

static int load_descriptors(struct load *load, const struct json *index, const char *name, unsigned depth,
			    struct err *err);

static int load_descriptor(struct load *load, const struct json *descriptor, const char *name, unsigned depth,
			   struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
	CLEANUP_JSON struct json *root = NULL;
	const char *digest = json_get_str(descriptor, "digest");
	int r = load_blob(load, digest, &text, err);
	if (r < 0 || (r = json_parse(buf_str(&text), text.len, "manifest", &root, err)) < 0)
		return r;
	if (json_get(root, "manifests"))
		return load_descriptors(load, root, name, depth + 1, err);
	return load_manifest(load, root, &text, digest, name, err);
}

/* The top index lists images; one below it lists platforms of one image. */
static int load_descriptors(struct load *load, const struct json *index, const char *name, unsigned depth,
			    struct err *err)
{
	const struct json *list = json_get(index, "manifests");
	int r = 0;
	if (depth > INDEX_DEPTH_MAX)
		return err_set(err, ERR_INVALID, 0, "the archive's indexes are nested too deep");
	if (depth > 0) {
		const struct json *chosen = platform_choose(list, NULL);
		if (!chosen)
			return err_set(err, ERR_NOT_FOUND, 0, "the archive has no image for this platform");
		return load_descriptor(load, chosen, name, depth, err);
	}
	if (json_array_len(list) == 0)
		return err_set(err, ERR_INVALID, 0, "index.json in the archive lists no image");
	for (size_t i = 0; r >= 0 && i < json_array_len(list); i++) {
		const struct json *d = json_array_at(list, i);
		r = load_descriptor(load, d, descriptor_name(d), depth, err);
	}
	return r;
}

static int load_oci(struct load *load, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(DOCUMENT_MAX);
	CLEANUP_JSON struct json *root = NULL;
	int r = tar_index_load(load->fd, &load->index, "index.json", &text, err);
	if (r < 0 || (r = json_parse(buf_str(&text), text.len, "index.json", &root, err)) < 0)
		return r;
	return load_descriptors(load, root, NULL, 0, err);
}

/* ---- both ---- */

/* A pipe is copied into the ingest directory, to be read in place from there. */
static int spool(const struct ingest *ingest, int fd, struct err *err)
{
	CLEANUP_FD int out = openat(ingest->dir_fd, "spool", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	CLEANUP_FREE char *chunk = malloc(1 << 18);
	if (out < 0 || !chunk)
		return err_set(err, ERR_SYSTEM, -errno, "make a file for the archive");
	for (;;) {
		ssize_t n = read(fd, chunk, 1 << 18);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read the archive");
		if (n == 0)
			return TAKE_FD(out);
		int r = fd_write_all(out, chunk, (size_t)n);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "store the archive");
	}
}

/* Replaces @fd when what it holds is compressed. */
static int expand(struct store *store, struct ingest *ingest, int fd, int *ret_fd, struct err *err)
{
	char start[8];
	int64_t bytes;
	int r = 0;
	ssize_t n = pread(fd, start, sizeof(start), 0);
	if (n < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the archive");
	if (!archive_is_compressed(start, (size_t)n))
		return 0;
	if (ingest->dir_fd < 0 && (r = ingest_begin(store, ingest, err)) < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read the archive");
	if ((r = archive_expand(ingest, "archive", NULL, 0, fd, &bytes, err)) < 0)
		return err_context(err, r, "decompress the archive");
	/* Of a copy nothing more is needed. */
	(void)!unlinkat(ingest->dir_fd, "spool", 0);
	*ret_fd = r;
	return 0;
}

int archive_load(struct store *store, int fd, const struct image_progress *progress, struct strv *ret_names,
		 struct err *err)
{
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	CLEANUP_FD int spooled = -1;
	CLEANUP_FD int expanded = -1;
	struct load load = { .store = store, .fd = fd, .progress = progress, .names = ret_names };
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at the archive");
	int r = 0;
	if (!S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0) {
		if ((r = ingest_begin(store, &ingest, err)) < 0)
			return r;
		spooled = spool(&ingest, fd, err);
		if (spooled < 0)
			return spooled;
		load.fd = spooled;
	}
	if ((r = expand(store, &ingest, load.fd, &expanded, err)) < 0)
		return r;
	if (expanded >= 0) {
		cleanup_fd(&spooled);
		load.fd = expanded;
	}
	r = tar_index_read(load.fd, &load.index, err);
	if (r >= 0 && tar_index_find(&load.index, "manifest.json"))
		r = load_docker(&load, err);
	else if (r >= 0 && tar_index_find(&load.index, "index.json"))
		r = load_oci(&load, err);
	else if (r >= 0) {
		r = err_set(err, ERR_INVALID, 0, "not an image archive: it has neither manifest.json nor index.json");
		err_hint(err, "hull import FILE NAME    makes an image from an archive of a root file system");
	}
	tar_index_done(&load.index);
	return r;
}
