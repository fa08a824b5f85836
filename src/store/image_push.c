/* SPDX-License-Identifier: Apache-2.0 */
#include "image_push.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "archive_save.h"
#include "manifest.h"
#include "registry.h"

#define PARALLEL 5

struct part {
	const struct descriptor *descriptor;
	char title[13];
	/* Of the layer; NULL: the configuration. */
	const char *diffid;
	char *mount_from;
	uint64_t request;
	bool is_sent, is_done;
};

struct push {
	struct store *store;
	const struct image_push *in;
	const struct image_progress *progress;
	struct registry *registry;
	struct image *image;
	struct buf text;
	char type[80], digest[72];
	struct manifest *manifest;
	struct part *parts;
	size_t parts_n;
};

static void push_done(struct push *p)
{
	registry_close(p->registry);
	for (size_t i = 0; i < p->parts_n; i++)
		free(p->parts[i].mount_from);
	free(p->parts);
	image_free(p->image);
	manifest_free(p->manifest);
	buf_free(&p->text);
}

/* ---- what there is to send ---- */

/* A repository of the same registry that is known to have this layer. */
static int find_mount(struct push *p, struct part *part, struct err *err)
{
	const struct reference *ref = p->in->reference;
	CLEANUP_FREE char *prefix = str_printf("%s/", ref->registry);
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(p->store->db, &q, err,
			 "SELECT r.reference FROM repo_digests r JOIN image_layers l ON l.image = r.image"
			 " JOIN blobs b ON b.diffid = l.diffid WHERE b.digest = ? AND substr(r.reference, 1, ?) = ? LIMIT 20",
			 "sis", part->descriptor->digest, (int64_t)strlen(prefix), prefix);
	while (r >= 0 && !part->mount_from && (r = db_next(q, err)) > 0) {
		const char *repository = db_text(q, 0) + strlen(prefix), *at = strchr(repository, '@');
		CLEANUP_FREE char *name = at ? str_ndup(repository, (size_t)(at - repository)) : NULL;
		if (name && !str_eq(name, ref->repository))
			part->mount_from = TAKE_PTR(name);
	}
	return r < 0 ? r : 0;
}

static struct part *add_part(struct push *p, const struct descriptor *d, const char *diffid)
{
	for (size_t i = 0; i < p->parts_n; i++)
		if (str_eq(p->parts[i].descriptor->digest, d->digest))
			return NULL;
	struct part *part = &p->parts[p->parts_n++];
	*part = (struct part){ .descriptor = d, .diffid = diffid };
	snprintf(part->title, sizeof(part->title), "%.12s", digest_hex(diffid ? diffid : d->digest));
	return part;
}

static int plan(struct push *p, struct err *err)
{
	const struct manifest *m = p->manifest;
	if (m->layers_n != p->image->config->diffids.n)
		return err_set(err, ERR_INVALID, 0, "the image's manifest does not fit its configuration");
	p->parts = mem_calloc(m->layers_n + 1, sizeof(*p->parts));
	for (size_t i = 0; i < m->layers_n; i++) {
		struct part *part = add_part(p, &m->layers[i], p->image->config->diffids.v[i]);
		int r = part ? find_mount(p, part, err) : 0;
		if (r < 0)
			return r;
		if (part)
			image_report(p->progress, part->title, "Preparing", 0, 0);
	}
	(void)!add_part(p, &m->config, NULL);
	return 0;
}

static int prepare(struct push *p, struct err *err)
{
	CLEANUP_FREE char *full = reference_full(p->in->reference);
	int r = image_resolve(p->store, full, &p->image, err);
	if (r < 0) {
		CLEANUP_FREE char *name = reference_name(p->in->reference);
		err_set(err, ERR_NOT_FOUND, 0, "An image does not exist locally with the tag: %s", reference_familiar(name));
		err_hint(err, "hull tag IMAGE %s", reference_familiar(full));
		return r;
	}
	if ((r = image_manifest(p->store, p->image, &p->text, p->type, p->digest, err)) < 0 ||
	    (r = manifest_parse(buf_str(&p->text), p->text.len, p->type, &p->manifest, err)) < 0)
		return r;
	return plan(p, err);
}

/* ---- sending ---- */

static int denied(const struct push *p, int64_t status, int r, struct err *err)
{
	struct err why = *err;
	if (status != 401 && status != 403 && why.kind != ERR_DENIED)
		return r;
	CLEANUP_FREE char *name = reference_name(p->in->reference);
	err_set(err, ERR_DENIED, 0, "push access denied for %s: requested access to the resource is denied", reference_familiar(name));
	err_why(err, "%s", *why.why ? why.why : why.msg);
	err_hint(err, "hull login %s", str_eq(p->in->reference->registry, "docker.io") ? "" : p->in->reference->registry);
	return r;
}

static int open_part(struct push *p, const struct part *part, struct err *err)
{
	if (!part->diffid)
		return registry_text_fd(p->image->text, strlen(p->image->text), err);
	CLEANUP_FREE char *path = store_blob_path(p->store, part->descriptor->digest);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	if (st.st_size != part->descriptor->size) {
		int r = err_set(err, ERR_SYSTEM, 0, "layer %s cannot be sent", part->title);
		err_why(err, "%s has %lld bytes instead of %lld", path, (long long)st.st_size, (long long)part->descriptor->size);
		return r;
	}
	return TAKE_FD(fd);
}

static int send_part(struct push *p, struct part *part, struct err *err)
{
	CLEANUP_FD int fd = open_part(p, part, err);
	if (fd < 0)
		return fd;
	struct fetch_request q = { .op = FETCH_PUSH_BLOB, .repository = p->in->reference->repository,
				   .digest = (char *)(uintptr_t)part->descriptor->digest, .size = part->descriptor->size,
				   .mount_from = part->mount_from, .wants_push = true };
	int r = registry_send(p->registry, &q, &fd, 1, err);
	part->request = q.id;
	part->is_sent = true;
	return r;
}

static void report_done(const struct push *p, const struct part *part, enum fetch_result result)
{
	char text[300] = "Pushed";
	if (!part->diffid)
		return;
	if (result == FETCH_EXISTS)
		snprintf(text, sizeof(text), "Layer already exists");
	else if (result == FETCH_MOUNTED)
		snprintf(text, sizeof(text), "Mounted from %s", part->mount_from ? part->mount_from : "another repository");
	image_report(p->progress, part->title, text, 0, 0);
}

static int on_event(struct push *p, struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	struct part *part = NULL;
	int r = registry_next(p->registry, &e, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->parts_n && !part; i++)
		if (p->parts[i].is_sent && !p->parts[i].is_done && p->parts[i].request == e.id)
			part = &p->parts[i];
	if (!part)
		return 0;
	if (e.kind == FETCH_PROGRESS && part->diffid)
		image_report(p->progress, part->title, "Pushing", e.bytes, part->descriptor->size);
	if (e.kind == FETCH_RETRY && part->diffid)
		image_report(p->progress, part->title, "Retrying", 0, 0);
	if (e.kind == FETCH_DONE) {
		part->is_done = true;
		report_done(p, part, e.result);
	}
	if (e.kind != FETCH_FAILED)
		return 0;
	*err = e.err;
	r = e.err.errnum < 0 ? e.err.errnum : -EIO;
	return denied(p, e.status, r, err);
}

/* All blobs, at most @parallel at once. */
static int send_parts(struct push *p, struct err *err)
{
	size_t parallel = p->in->parallel ? p->in->parallel : PARALLEL, next = 0;
	for (;;) {
		size_t running = 0, done = 0;
		for (size_t i = 0; i < p->parts_n; i++) {
			running += p->parts[i].is_sent && !p->parts[i].is_done;
			done += p->parts[i].is_done;
		}
		if (done == p->parts_n)
			return 0;
		int r = 0;
		if (next < p->parts_n && running < parallel) {
			if ((r = send_part(p, &p->parts[next++], err)) < 0)
				return r;
			continue;
		}
		struct pollfd fd = { .fd = registry_fd(p->registry), .events = POLLIN };
		if (p->in->stop && *p->in->stop)
			return err_set(err, ERR_SYSTEM, -EINTR, "the push was stopped");
		int n = poll(&fd, 1, 500);
		if (n < 0 && errno != EINTR)
			return err_set(err, ERR_SYSTEM, -errno, "poll");
		if (n > 0 && (r = on_event(p, err)) < 0)
			return r;
	}
}

static int send_manifest(struct push *p, struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	CLEANUP_FD int fd = registry_text_fd(buf_str(&p->text), p->text.len, err);
	int64_t status = 0;
	if (fd < 0)
		return fd;
	struct fetch_request q = { .op = FETCH_PUSH_MANIFEST, .repository = p->in->reference->repository,
				   .reference = p->in->reference->tag, .media_type = p->type, .wants_push = true };
	int r = registry_send(p->registry, &q, &fd, 1, err);
	if (r < 0 || (r = registry_wait(p->registry, q.id, p->in->stop, &e, &status, err)) < 0)
		return denied(p, status, r, err);
	return 0;
}

/* The image is known by this digest there from now on. */
static int record(struct push *p, struct err *err)
{
	CLEANUP_FREE char *name = reference_name(p->in->reference);
	CLEANUP_FREE char *reference = str_printf("%s@%s", name, p->digest);
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(p->store->db, &tx, err);
	if (r >= 0)
		r = db_run(p->store->db, err, "INSERT OR REPLACE INTO repo_digests VALUES(?, ?)", "ss", reference, p->image->id);
	if (r >= 0)
		r = db_run(p->store->db, err, "INSERT OR REPLACE INTO manifests VALUES(?, ?, ?, ?)", "ssss", p->digest, p->type,
			   p->image->id, buf_str(&p->text));
	return r < 0 ? r : db_tx_commit(&tx, err);
}

int image_push(struct store *store, const struct image_push *in, const struct image_progress *progress,
	       struct image_pushed *ret, struct err *err)
{
	CLEANUP(push_done) struct push p = { .store = store, .in = in, .progress = progress,
					     .text = BUF_INIT(FETCH_MANIFEST_MAX) };
	int r = prepare(&p, err);
	if (r < 0 || (r = registry_open(in->reference->registry, in->options, &p.registry, err)) < 0 ||
	    (r = send_parts(&p, err)) < 0 || (r = send_manifest(&p, err)) < 0 || (r = record(&p, err)) < 0)
		return r;
	memcpy(ret->digest, p.digest, sizeof(p.digest));
	ret->size = (int64_t)p.text.len;
	return 0;
}
