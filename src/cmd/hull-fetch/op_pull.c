/* SPDX-License-Identifier: Apache-2.0 */
/* Getting things: the check of a log-in, manifests, blobs. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "fd.h"
#include "login.h"
#include "manifest.h"
#include "worker_ops.h"

struct op {
	struct session *session;
	CURL *curl;
	struct job *job;
	struct fetch_event *event;
	char *scope;
};

static void op_done(struct op *op)
{
	free(op->scope);
}

/* ---- check ---- */

static int try_check(void *ctx, struct endpoint *e, struct failure *f)
{
	struct op *op = ctx;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	struct ask a = { .path = "/v2/", .request = { .method = "GET" } };
	int r = ask(op->session, e, op->curl, &a, &res, f);
	if (r < 0)
		return r;
	return login_identity(op->session, e, op->curl, &op->event->identity_token, &f->err);
}

int op_check(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	struct op op = { s, curl, job, event, NULL };
	struct attempts a = { .is_origin_only = true, .attempt = try_check, .ctx = &op };
	return attempts_run(s, job, &a, f);
}

/* ---- manifests ---- */


static int on_document(void *ctx, const char *data, size_t len, struct err *err)
{
	struct buf *text = ctx;
	if (buf_append(text, data, len) == 0)
		return 0;
	return err_set(err, ERR_INVALID, 0, "the registry sent a document longer than %zu bytes", text->max);
}

static int wrong_digest(const char *what, const char *wanted, const char *got, struct failure *f)
{
	int r = err_set(&f->err, ERR_INVALID, 0, "%s is not what was asked for", what);
	err_why(&f->err, "expected %s, got %s", wanted, got);
	return r;
}

static int check_manifest(const struct job *job, const struct buf *text, const struct http_response *res,
			  char digest[DIGEST_SIZE], struct failure *f)
{
	digest_of(text->data ? text->data : "", text->len, digest);
	const char *wanted = strchr(job->request.reference, ':') ? job->request.reference : NULL;
	if (wanted && !str_eq(wanted, digest))
		return wrong_digest("the manifest", wanted, digest, f);
	if (res->content_digest && str_starts_with(res->content_digest, "sha256:") && !str_eq(res->content_digest, digest))
		return wrong_digest("the manifest", res->content_digest, digest, f);
	return 0;
}

static int try_manifest(void *ctx, struct endpoint *e, struct failure *f)
{
	struct op *op = ctx;
	const struct fetch_request *q = &op->job->request;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	CLEANUP_FREE char *path = str_printf("/v2/%s/manifests/%s", q->repository, q->reference);
	int64_t max = q->size && q->size < FETCH_MANIFEST_MAX ? q->size : FETCH_MANIFEST_MAX;
	CLEANUP_BUF struct buf text = BUF_INIT((size_t)max);
	struct ask a = { .path = path, .scope = op->scope,
			 .request = { .method = "GET", .on_data = on_document, .ctx = &text } };
	strv_add(&a.request.headers, "Accept: " MANIFEST_ACCEPT);
	int r = ask(op->session, e, op->curl, &a, &res, f);
	/* Too long is this endpoint's fault, not ours. */
	f->is_ours = false;
	strv_free(&a.request.headers);
	if (r < 0 || (r = check_manifest(op->job, &text, &res, op->event->digest, f)) < 0)
		return r;
	snprintf(op->event->media_type, sizeof(op->event->media_type), "%s", res.content_type ? res.content_type : "");
	r = fd_write_all(op->job->fds[0], buf_str(&text), text.len);
	if (r < 0) {
		f->is_ours = true;
		return err_set(&f->err, ERR_SYSTEM, r, "hand on a manifest");
	}
	return 0;
}

int op_manifest(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	CLEANUP(op_done) struct op op = { s, curl, job, event, op_scope(job) };
	struct attempts a = { .is_origin_only = job->request.is_origin_only, .attempt = try_manifest, .ctx = &op };
	return attempts_run(s, job, &a, f);
}

/* ---- blobs ---- */

struct blob {
	struct op op;
	/* What has been handed on; never goes back. */
	int64_t done;
	/* Of the body that comes now: what is there already. */
	int64_t skip;
	/* A verified blob is gathered first. */
	struct buf text;
	/* This server cannot begin in the middle. */
	bool is_rangeless;
};

static void blob_done(struct blob *b)
{
	op_done(&b->op);
	buf_free(&b->text);
}

static int hand_on(struct blob *b, const char *data, size_t len, struct err *err)
{
	const struct fetch_request *q = &b->op.job->request;
	int r;
	if (b->done + (int64_t)len > q->size) {
		r = err_set(err, ERR_INVALID, 0, "the registry sends more than the %lld bytes announced", (long long)q->size);
		err_why(err, "blob %s", q->digest);
		return r;
	}
	if (q->is_verified)
		r = buf_append(&b->text, data, len);
	else
		r = fd_write_all(b->op.job->fds[0], data, len);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "hand on a blob");
	b->done += (int64_t)len;
	job_progress(b->op.job, b->done);
	return 0;
}

static int on_blob_begin(void *ctx, const struct http_response *res, struct err *err)
{
	struct blob *b = ctx;
	int64_t size = b->op.job->request.size;
	if (res->status == 206 && res->range_start != b->done)
		return err_set(err, ERR_INVALID, 0, "the registry sent another part of a blob than was asked for");
	b->skip = res->status == 206 ? 0 : b->done;
	if (res->status == 200 && res->content_length >= 0 && res->content_length != size)
		return err_set(err, ERR_INVALID, 0, "a blob has %lld bytes instead of the %lld announced",
			       (long long)res->content_length, (long long)size);
	return 0;
}

static int on_blob_data(void *ctx, const char *data, size_t len, struct err *err)
{
	struct blob *b = ctx;
	if (b->skip) {
		size_t n = (int64_t)len < b->skip ? len : (size_t)b->skip;
		b->skip -= (int64_t)n;
		data += n;
		len -= n;
	}
	return len ? hand_on(b, data, len, err) : 0;
}

static int finish_verified(struct blob *b, struct failure *f)
{
	const struct fetch_request *q = &b->op.job->request;
	char digest[DIGEST_SIZE];
	digest_of(buf_str(&b->text), b->text.len, digest);
	if (!str_eq(digest, q->digest)) {
		/* From the start, wherever it is asked for next. */
		b->done = 0;
		buf_clear(&b->text);
		return wrong_digest("a document of the image", q->digest, digest, f);
	}
	int r = fd_write_all(b->op.job->fds[0], buf_str(&b->text), b->text.len);
	if (r < 0) {
		f->is_ours = true;
		return err_set(&f->err, ERR_SYSTEM, r, "hand on a document");
	}
	return 0;
}

static int ask_blob(struct blob *b, struct endpoint *e, struct http_response *res, struct failure *f)
{
	const struct fetch_request *q = &b->op.job->request;
	CLEANUP_FREE char *path = str_printf("/v2/%s/blobs/%s", q->repository, q->digest);
	struct ask a = { .path = path, .scope = b->op.scope,
			 .request = { .method = "GET", .on_begin = on_blob_begin, .on_data = on_blob_data, .ctx = b } };
	if (b->done && !b->is_rangeless)
		strv_printf(&a.request.headers, "Range: bytes=%lld-", (long long)b->done);
	int r = ask(b->op.session, e, b->op.curl, &a, res, f);
	strv_free(&a.request.headers);
	return r;
}

static int try_blob(void *ctx, struct endpoint *e, struct failure *f)
{
	struct blob *b = ctx;
	const struct fetch_request *q = &b->op.job->request;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	int r = 0;
	if (b->done < q->size || (q->size == 0 && q->is_verified)) {
		r = ask_blob(b, e, &res, f);
		if (r < 0 && f->status == 416 && !b->is_rangeless) {
			b->is_rangeless = true;
			f->is_transient = true;
		}
		/* Only a reader that has gone is our own trouble. */
		f->is_ours = f->is_ours && f->err.kind == ERR_SYSTEM;
		if (r < 0)
			return r;
	}
	if (b->done < q->size) {
		r = err_set(&f->err, ERR_SYSTEM, 0, "the registry ended a blob after %lld of %lld bytes", (long long)b->done,
			    (long long)q->size);
		f->is_transient = true;
		return r;
	}
	return q->is_verified ? finish_verified(b, f) : 0;
}

/* What an earlier hull got before it was stopped. */
static int copy_start(struct blob *b, struct failure *f)
{
	struct job *job = b->op.job;
	int64_t want = job->fds[1] < 0 ? 0 : job->request.offset;
	CLEANUP_FREE char *chunk = malloc(256 * 1024);
	if (!chunk)
		return err_set(&f->err, ERR_SYSTEM, -ENOMEM, "resume a blob");
	while (b->done < want) {
		int64_t left = want - b->done;
		ssize_t n = pread(job->fds[1], chunk, left < 256 * 1024 ? (size_t)left : 256 * 1024, (off_t)b->done);
		if (n < 0 && errno == EINTR)
			continue;
		/* Shorter than said: the rest comes from the registry. */
		if (n <= 0)
			return 0;
		int r = hand_on(b, chunk, (size_t)n, &f->err);
		f->is_ours = r < 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int op_blob(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	const struct fetch_request *q = &job->request;
	CLEANUP(blob_done) struct blob b = { .op = { s, curl, job, event, op_scope(job) },
					     .text = BUF_INIT(MANIFEST_CONFIG_MAX) };
	if (q->is_verified && q->size > MANIFEST_CONFIG_MAX)
		return err_set(&f->err, ERR_INVALID, 0, "a document of the image is too long");
	int r = copy_start(&b, f);
	struct attempts a = { .is_origin_only = q->is_origin_only, .attempt = try_blob, .progress = &b.done, .ctx = &b };
	return r < 0 ? r : attempts_run(s, job, &a, f);
}
