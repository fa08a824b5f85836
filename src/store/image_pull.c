/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: manifest and configuration are asked for one after the other;
 * then one poll() loop over the worker's socket and the result pipe of each
 * layer's converter. A layer goes WAITING -> RUNNING -> CONVERTED; a failure of
 * either end is kept until both have ended, because the one that fails first is
 * not always the one to blame. */
#include "image_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "convert.h"
#include "digest.h"
#include "fault.h"
#include "manifest.h"
#include "partial.h"
#include "platform.h"
#include "registry.h"
#include "settle.h"

#define PARALLEL 3
#define PARALLEL_MAX 16
#define INDEX_DEPTH_MAX 3
#define PIPE_BYTES (1 << 20)
/* A layer that came wrong from a mirror, or went on from a bad head start, is
 * fetched once more, from the registry itself and whole. */
#define ROUNDS_MAX 2
#define STALE_MAX 3

enum layer_state { LAYER_THERE, LAYER_WAITING, LAYER_RUNNING, LAYER_CONVERTED, LAYER_FAILED };

struct layer {
	const struct descriptor *descriptor;
	const char *diffid;
	char title[13];
	enum layer_state state;
	unsigned round;
	bool is_fetched;
	/* There was a partial, or a mirror might have served it. */
	bool is_doubtful;
	uint64_t request;
	struct convert *convert;
	struct convert_job job;
	struct err fetch_err;
	int fetch_r;
	bool is_unread;
	int64_t status;
};

struct pull {
	struct store *store;
	const struct image_pull *in;
	const struct image_progress *progress;
	struct registry *registry;
	char digest[72]; /* of what the reference names */
	struct buf manifest_text, config_text;
	struct manifest *manifest;
	char manifest_digest[72];
	struct image_config *config;
	struct ingest ingest;
	struct layer *layers;
	size_t layers_n;
};

static void pull_done(struct pull *p)
{
	/* The worker first: the converters then see the end of their pipes. */
	registry_close(p->registry);
	for (size_t i = 0; i < p->layers_n; i++)
		convert_cancel(p->layers[i].convert);
	if (p->ingest.dir_fd >= 0)
		for (size_t i = 0; i < p->layers_n; i++)
			partial_keep(p->store, p->ingest.dir_fd, p->layers[i].job.out.blob_file);
	ingest_end(&p->ingest);
	buf_free(&p->manifest_text);
	buf_free(&p->config_text);
	manifest_free(p->manifest);
	image_config_free(p->config);
	free(p->layers);
}

/* ---- words ---- */

/* "debian:12" or "host/x@sha256:...", as Docker's messages name it. */
static char *familiar(const struct reference *ref)
{
	CLEANUP_FREE char *full = ref->digest && ref->tag ? str_printf("%s/%s:%s@%s", ref->registry, ref->repository, ref->tag, ref->digest)
							   : reference_full(ref);
	return str_dup(reference_familiar(full));
}

/* What Docker says when the registry has no such thing, or not for everybody. */
int image_pull_explain(const struct reference *ref, int64_t status, int r, struct err *err)
{
	struct err why = *err;
	CLEANUP_FREE char *name = familiar(ref), *full = reference_name(ref);
	const char *words = *why.why ? why.why : why.msg;
	bool is_name = strstr(why.why, "NAME_UNKNOWN");
	if (status == 404 && is_name)
		err_set(err, ERR_NOT_FOUND, 0, "repository %s not found: name unknown", reference_familiar(full));
	else if (status == 404)
		err_set(err, ERR_NOT_FOUND, 0, "manifest for %s not found: manifest unknown", name);
	else if (status == 401 || status == 403)
		err_set(err, ERR_DENIED, 0,
			"pull access denied for %s, repository does not exist or may require 'docker login': denied: "
			"requested access to the resource is denied",
			reference_familiar(full));
	else if (status == 429)
		err_set(err, ERR_SYSTEM, 0, "toomanyrequests: the registry limits how often it may be asked");
	else
		return r;
	err_why(err, "%s", words);
	if (status == 401 || status == 403)
		err_hint(err, "hull login %s", str_eq(ref->registry, "docker.io") ? "" : ref->registry);
	else if (status == 404)
		err_hint(err, "check the name and the tag for a typing error");
	return r;
}

/* ---- manifest and configuration ---- */

static int get_manifest(struct pull *p, const char *reference, char digest[72], struct err *err)
{
	const struct reference *ref = p->in->reference;
	char type[160];
	int64_t status;
	buf_clear(&p->manifest_text);
	manifest_free(TAKE_PTR(p->manifest));
	int r = registry_manifest(p->registry, ref->repository, reference, p->in->stop, &p->manifest_text, type, digest, &status,
				  err);
	if (r < 0)
		return image_pull_explain(ref, status, r, err);
	return manifest_parse(buf_str(&p->manifest_text), p->manifest_text.len, type, &p->manifest, err);
}

static int resolve(struct pull *p, struct err *err)
{
	const struct reference *ref = p->in->reference;
	int r = get_manifest(p, ref->digest ? ref->digest : ref->tag, p->digest, err);
	memcpy(p->manifest_digest, p->digest, sizeof(p->digest));
	for (unsigned depth = 0; r >= 0 && p->manifest->is_index; depth++) {
		struct descriptor d;
		if (depth == INDEX_DEPTH_MAX)
			return err_set(err, ERR_INVALID, 0, "the registry's index leads to an index again and again");
		r = manifest_choose(p->manifest, p->in->platform, &d, err);
		if (r >= 0)
			r = get_manifest(p, d.digest, p->manifest_digest, err);
		/* A registry with a hole is not a name that does not exist. */
		if (r < 0 && err->kind == ERR_NOT_FOUND && p->manifest == NULL)
			err_why(err, "the index lists %s, but the registry does not have it", d.digest);
	}
	return r;
}

/* Of an image that is there already, from the store. */
static int known_config(struct pull *p, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	struct err ignored = ERR_INIT;
	if (image_load(p->store, p->manifest->config.digest, &image, &ignored) < 0)
		return 0;
	return buf_append_str(&p->config_text, image->text) < 0 ? err_set(err, ERR_SYSTEM, -ENOMEM, "read an image") : 1;
}

static int check_platform(struct pull *p, struct err *err)
{
	const struct image_config *c = p->config;
	CLEANUP_FREE char *name = familiar(p->in->reference);
	if (!str_is_empty(c->os) && !str_eq(c->os, "linux"))
		return err_set(err, ERR_UNSUPPORTED, 0, "image operating system \"%.40s\" cannot be used on this platform", c->os);
	if (!p->in->platform || str_is_empty(c->architecture))
		return 0;
	CLEANUP_STRV struct strv parts = { 0 };
	strv_split(&parts, p->in->platform, '/');
	const char *wanted = parts.n > 1 ? parts.v[1] : parts.n ? parts.v[0] : "";
	if (str_eq(wanted, c->architecture) || str_eq(wanted, "linux"))
		return 0;
	err_set(err, ERR_NOT_FOUND, 0, "image with reference %s was found but does not provide the specified platform (%s)",
		name, p->in->platform);
	err_why(err, "it is for linux/%.40s", c->architecture);
	return -ENOENT;
}

static int get_config(struct pull *p, struct err *err)
{
	const struct descriptor *d = &p->manifest->config;
	int64_t status = 0;
	int r = known_config(p, err);
	if (r == 0)
		r = registry_document(p->registry, p->in->reference->repository, d->digest, d->size, p->in->stop, &p->config_text,
				      &status, err);
	if (r < 0)
		return err_context(err, r, "get the image's configuration");
	if ((r = image_config_parse(buf_str(&p->config_text), p->config_text.len, &p->config, err)) < 0)
		return r;
	if (p->config->diffids.n != p->manifest->layers_n)
		return err_set(err, ERR_INVALID, 0, "the image has %zu layers, its configuration lists %zu",
			       p->manifest->layers_n, p->config->diffids.n);
	return check_platform(p, err);
}

/* ---- layers ---- */

static bool is_repeated(const struct pull *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(p->layers[i].diffid, p->config->diffids.v[n]))
			return true;
	return false;
}

/* What the store lacks. */
static int plan(struct pull *p, struct err *err)
{
	size_t n = p->manifest->layers_n;
	p->layers = mem_calloc(n + 1, sizeof(*p->layers));
	for (size_t i = 0; i < n; i++) {
		struct layer *l = &p->layers[p->layers_n++];
		l->descriptor = &p->manifest->layers[i];
		l->diffid = p->config->diffids.v[i];
		snprintf(l->title, sizeof(l->title), "%.12s", digest_hex(l->descriptor->digest));
		if (is_repeated(p, i))
			continue; /* LAYER_THERE by then */
		int r = layer_exists(p->store, l->diffid, err);
		if (r < 0)
			return r;
		l->state = r > 0 ? LAYER_THERE : LAYER_WAITING;
		image_report(p->progress, l->title, r > 0 ? "Already exists" : "Pulling fs layer", 0, 0);
	}
	return 0;
}

static bool has_mirrors(const struct pull *p)
{
	return p->in->options && p->in->options->mirrors.n;
}

static int start_layer(struct pull *p, struct layer *l, struct err *err)
{
	const struct descriptor *d = l->descriptor;
	int pipes[2], r;
	int64_t have = 0;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	CLEANUP_FD int reader = pipes[0];
	CLEANUP_FD int writer = pipes[1];
	/* A big pipe saves turns; being refused one is no error. */
	(void)!fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES);
	CLEANUP_FD int partial = l->round == 0 ? partial_find(p->store, d->digest, d->size, &have) : -1;
	l->is_doubtful = partial >= 0 || (l->round == 0 && has_mirrors(p));
	l->is_fetched = l->is_unread = false;
	l->fetch_r = 0;
	l->fetch_err = ERR_INIT;
	l->job = (struct convert_job){ .fd = reader, .offset = -1, .len = d->size, .is_direct = true, .is_resumable = true,
				       .digest = d->digest, .diffid = l->diffid, .media_type = d->media_type,
				       .title = l->title };
	r = convert_start(&p->ingest, &l->job, (size_t)(l - p->layers), &l->convert, err);
	if (r < 0)
		return r;
	const int fds[] = { writer, partial };
	struct fetch_request q = { .op = FETCH_BLOB, .repository = p->in->reference->repository,
				   .digest = (char *)(uintptr_t)d->digest, .size = d->size, .offset = have,
				   .is_origin_only = l->round > 0 };
	if ((r = registry_send(p->registry, &q, fds, partial >= 0 ? 2 : 1, err)) < 0)
		return r;
	l->request = q.id;
	l->state = LAYER_RUNNING;
	return 0;
}

static struct layer *find_layer(struct pull *p, uint64_t request)
{
	for (size_t i = 0; i < p->layers_n; i++)
		if (p->layers[i].state == LAYER_RUNNING && p->layers[i].request == request)
			return &p->layers[i];
	return NULL;
}

static void report_retry(const struct pull *p, const struct layer *l, int64_t delay_ms)
{
	char text[64];
	long long s = (long long)(delay_ms + 999) / 1000;
	snprintf(text, sizeof(text), "Retrying in %lld second%s", s, s == 1 ? "" : "s");
	image_report(p->progress, l->title, text, 0, 0);
}

static int on_event(struct pull *p, struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	int r = registry_next(p->registry, &e, err);
	if (r < 0)
		return r;
	struct layer *l = find_layer(p, e.id);
	if (!l)
		return 0;
	switch (e.kind) {
	case FETCH_PROGRESS:
		image_report(p->progress, l->title, "Downloading", e.bytes, l->descriptor->size);
		break;
	case FETCH_RETRY:
		report_retry(p, l, e.delay_ms);
		break;
	case FETCH_DONE:
		l->is_fetched = true;
		image_report(p->progress, l->title, "Download complete", 0, 0);
		break;
	default:
		l->is_fetched = true;
		l->fetch_r = e.err.errnum < 0 ? e.err.errnum : -EIO;
		l->fetch_err = e.err;
		l->is_unread = e.is_unread;
		l->status = e.status;
	}
	return 0;
}

/* The converter has ended. A download that failed by itself is the cause; one
 * that failed because nobody read on is not. */
static int on_converted(struct pull *p, struct layer *l, struct err *err)
{
	struct err convert_err = ERR_INIT;
	int r = convert_finish(TAKE_PTR(l->convert), &convert_err);
	l->state = LAYER_CONVERTED;
	if (r >= 0) {
		image_report(p->progress, l->title, "Pull complete", 0, 0);
		return 0;
	}
	/* The fetcher's last word is still under way when the converter saw an
	 * early end of its pipe. */
	l->state = LAYER_RUNNING;
	while (!l->is_fetched && !(p->in->stop && *p->in->stop)) {
		int x = on_event(p, err);
		if (x < 0)
			return x;
	}
	bool is_fetch = l->fetch_r < 0 && !l->is_unread;
	if (!is_fetch || l->fetch_err.kind == ERR_INVALID) {
		/* Bytes that were wrong are no head start. */
		(void)!unlinkat(p->ingest.dir_fd, l->job.out.blob_file, 0);
		partial_drop(p->store, l->descriptor->digest);
	}
	if (!is_fetch && convert_err.kind == ERR_INVALID && l->is_doubtful && ++l->round < ROUNDS_MAX) {
		(void)!unlinkat(p->ingest.dir_fd, l->job.out.file, 0);
		l->state = LAYER_WAITING;
		image_report(p->progress, l->title, "Verification failed, pulling again", 0, 0);
		return 0;
	}
	l->state = LAYER_FAILED;
	*err = is_fetch ? l->fetch_err : convert_err;
	r = is_fetch ? l->fetch_r : r;
	return err_context(err, r, "layer %s", l->title);
}

static int turn(struct pull *p, struct err *err)
{
	struct pollfd fds[PARALLEL_MAX + 1] = { { .fd = registry_fd(p->registry), .events = POLLIN } };
	struct layer *of[PARALLEL_MAX + 1];
	size_t n = 1;
	for (size_t i = 0; i < p->layers_n && n < ARRAY_LEN(fds); i++)
		if (p->layers[i].convert) {
			of[n] = &p->layers[i];
			fds[n++] = (struct pollfd){ .fd = convert_result_fd(p->layers[i].convert), .events = POLLIN };
		}
	if (poll(fds, n, 500) < 0)
		return errno == EINTR ? 0 : err_set(err, ERR_SYSTEM, -errno, "poll");
	int r = fds[0].revents ? on_event(p, err) : 0;
	for (size_t i = 1; i < n && r >= 0; i++)
		if (fds[i].revents)
			r = on_converted(p, of[i], err);
	return r;
}

/* The largest first: it takes longest, and nothing waits for an order. */
static struct layer *next_waiting(struct pull *p)
{
	struct layer *best = NULL;
	for (size_t i = 0; i < p->layers_n; i++)
		if (p->layers[i].state == LAYER_WAITING && (!best || p->layers[i].descriptor->size > best->descriptor->size))
			best = &p->layers[i];
	return best;
}

static size_t running(const struct pull *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->layers_n; i++)
		n += p->layers[i].state == LAYER_RUNNING;
	return n;
}

static int get_layers(struct pull *p, struct err *err)
{
	size_t parallel = p->in->parallel ? p->in->parallel : PARALLEL;
	parallel = parallel > PARALLEL_MAX ? PARALLEL_MAX : parallel;
	for (;;) {
		struct layer *next = next_waiting(p);
		size_t n = running(p);
		int r = 0;
		if (p->in->stop && *p->in->stop)
			return err_set(err, ERR_SYSTEM, -EINTR, "the pull was stopped");
		if (!next && n == 0)
			return 0;
		if (next && n < parallel)
			r = start_layer(p, next, err);
		else
			r = turn(p, err);
		if (r < 0)
			return r;
	}
}

/* ---- into the store ---- */

static int add(struct pull *p, struct image_pulled *ret, struct err *err)
{
	const struct reference *ref = p->in->reference;
	CLEANUP_FREE struct layer_new *layers = mem_calloc(p->layers_n + 1, sizeof(*layers));
	CLEANUP_FREE char *name = reference_name(ref);
	CLEANUP_FREE char *repo_digest = str_printf("%s@%s", name, p->digest);
	CLEANUP_FREE char *tag = ref->tag && !ref->digest ? reference_full(ref) : NULL;
	char boot[BOOT_ID_SIZE];
	bool is_deferred = *boot_id(boot);
	for (size_t i = 0; i < p->layers_n; i++) {
		if (p->layers[i].state == LAYER_CONVERTED) {
			layers[i] = p->layers[i].job.out;
			layers[i].is_unsynced = is_deferred && !str_ends_with(layers[i].file, ".dir");
		} else {
			snprintf(layers[i].diffid, sizeof(layers[i].diffid), "%s", p->layers[i].diffid);
		}
	}
	struct image_new image = { .config = buf_str(&p->config_text), .config_len = p->config_text.len, .layers = layers,
				   .layers_n = p->layers_n, .tag = tag, .repo_digest = repo_digest,
				   .manifest = buf_str(&p->manifest_text), .manifest_digest = p->manifest_digest,
				   .manifest_type = p->manifest->media_type };
	int r = image_add(p->store, &p->ingest, &image, ret->id, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < p->layers_n; i++)
		if (p->layers[i].state == LAYER_CONVERTED)
			partial_drop(p->store, p->layers[i].descriptor->digest);
	/* What another hull has added meanwhile is still here, and of no use. */
	for (size_t i = 0; i < p->layers_n; i++)
		p->layers[i].job.out.blob_file[0] = '\0';
	return 0;
}

/* Does the name point to this very image already? */
static int is_known(struct pull *p, struct err *err)
{
	const struct reference *ref = p->in->reference;
	CLEANUP_FREE char *name = reference_name(ref);
	CLEANUP_FREE char *full = ref->digest ? str_printf("%s@%s", name, p->digest) : reference_full(ref);
	int64_t one;
	return db_query_i64(p->store->db, &one, err,
			    ref->digest ? "SELECT 1 FROM repo_digests WHERE reference=? AND image=?"
					: "SELECT 1 FROM tags WHERE reference=? AND image=?",
			    "ss", full, p->manifest->config.digest);
}

static int pull_once(struct store *store, const struct image_pull *in, const struct image_progress *progress,
		     struct image_pulled *ret, struct err *err)
{
	CLEANUP(pull_done) struct pull p = { .store = store, .in = in, .progress = progress, .ingest = INGEST_INIT,
					     .manifest_text = BUF_INIT(FETCH_MANIFEST_MAX),
					     .config_text = BUF_INIT(MANIFEST_CONFIG_MAX) };
	char from[300];
	const struct reference *ref = in->reference;
	int r = registry_open(ref->registry, in->options, &p.registry, err);
	if (r < 0 || (r = resolve(&p, err)) < 0)
		return r;
	snprintf(from, sizeof(from), "Pulling from %s", ref->repository);
	image_report(progress, ref->digest ? ref->digest : ref->tag, from, 0, 0);
	if ((r = get_config(&p, err)) < 0 || (r = ingest_begin(store, &p.ingest, err)) < 0 || (r = plan(&p, err)) < 0 ||
	    (r = get_layers(&p, err)) < 0 || (r = is_known(&p, err)) < 0)
		return r;
	ret->is_new = r == 0;
	if ((r = add(&p, ret, err)) < 0)
		return r;
	memcpy(ret->digest, p.digest, sizeof(p.digest));
	return 0;
}

/* An error that explains itself badly. */
static void add_advice(const struct reference *ref, struct err *err)
{
	CLEANUP_FREE char *name = familiar(ref);
	if (*err->hint)
		return;
	if (err->kind == ERR_INVALID && !*err->why)
		err_why(err, "what %s has there is damaged, or not what it claims to be", ref->registry);
	else if ((err->kind == ERR_SYSTEM || err->kind == ERR_TIMEOUT) && err->errnum != -ENOSPC)
		err_hint(err, "hull pull %s   again: what has come so far is kept", name);
}

int image_pull(struct store *store, const struct image_pull *pull, const struct image_progress *progress,
	       struct image_pulled *ret, struct err *err)
{
	int r = -ESTALE;
	partials_trim(store);
	/* A layer that was there has been removed meanwhile: begin again. */
	for (unsigned i = 0; i < STALE_MAX && r == -ESTALE; i++) {
		*err = ERR_INIT;
		r = pull_once(store, pull, progress, ret, err);
	}
	if (r < 0 && r != -EINTR)
		add_advice(pull->reference, err);
	return r;
}
