/* SPDX-License-Identifier: Apache-2.0 */
/* Sending things: a blob is asked for, else mounted from another repository of
 * the registry, else uploaded in one piece, or in chunks where the registry (or
 * a proxy before it) refuses so large a request. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "digest.h"
#include "fd.h"
#include "worker_ops.h"

#define CHUNK_BYTES (32ll << 20)

struct push {
	struct session *session;
	CURL *curl;
	struct job *job;
	struct fetch_event *event;
	char *scope;
	/* In chunks from now on. */
	bool is_chunked;
	/* Before the bytes of the exchange that runs. */
	int64_t sent_before;
};

static void push_done(struct push *p)
{
	free(p->scope);
}

static void on_sent(void *ctx, int64_t bytes)
{
	struct push *p = ctx;
	job_progress(p->job, p->sent_before + bytes);
}

static int is_there(struct push *p, struct endpoint *e, struct failure *f)
{
	const struct fetch_request *q = &p->job->request;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	CLEANUP_FREE char *path = str_printf("/v2/%s/blobs/%s", q->repository, q->digest);
	struct ask a = { .path = path, .scope = p->scope, .request = { .method = "HEAD" }, .accepted = { 404 } };
	int r = ask(p->session, e, p->curl, &a, &res, f);
	return r < 0 ? r : res.status != 404;
}

/* Where the upload goes, absolute and on the registry; *ret is NULL when the
 * blob was mounted. */
static int begin_upload(struct push *p, struct endpoint *e, char **ret, struct failure *f)
{
	const struct fetch_request *q = &p->job->request;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	CLEANUP_FREE char *path = q->mount_from ? str_printf("/v2/%s/blobs/uploads/?mount=%s&from=%s", q->repository, q->digest, q->mount_from)
						 : str_printf("/v2/%s/blobs/uploads/", q->repository);
	struct ask a = { .path = path, .scope = p->scope, .request = { .method = "POST", .body = "" } };
	int r = ask(p->session, e, p->curl, &a, &res, f);
	if (r < 0)
		return r;
	*ret = NULL;
	if (res.status == 201)
		return 0;
	if (res.status != 202 || !res.location)
		return err_set(&f->err, ERR_INVALID, 0, "%s gave no place for an upload", e->address.host);
	*ret = str_starts_with(res.location, "/") ? str_printf("%s%s", e->base, res.location) : str_dup(res.location);
	return 0;
}

/* One PUT or PATCH of a part to @url; *url becomes where the next goes. */
static int send_part(struct push *p, struct endpoint *e, const char *method, char **url, int64_t offset, int64_t len,
		     struct failure *f)
{
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	struct ask a = { .path = *url, .scope = p->scope,
			 .request = { .method = method, .body = len ? NULL : "", .body_fd = p->job->fds[0],
				      .body_offset = offset, .body_len = len, .on_sent = on_sent, .ctx = p } };
	p->sent_before = offset;
	strv_add(&a.request.headers, "Content-Type: application/octet-stream");
	if (str_eq(method, "PATCH"))
		strv_printf(&a.request.headers, "Content-Range: %lld-%lld", (long long)offset, (long long)(offset + len - 1));
	int r = ask(p->session, e, p->curl, &a, &res, f);
	strv_free(&a.request.headers);
	if (r < 0 || !res.location)
		return r;
	free(*url);
	*url = str_starts_with(res.location, "/") ? str_printf("%s%s", e->base, res.location) : str_dup(res.location);
	return 0;
}

static int finish_upload(struct push *p, struct endpoint *e, char **url, int64_t offset, int64_t len, struct failure *f)
{
	char *with_digest = str_printf("%s%cdigest=%s", *url, strchr(*url, '?') ? '&' : '?', p->job->request.digest);
	free(*url);
	*url = with_digest;
	return send_part(p, e, "PUT", url, offset, len, f);
}

static int upload(struct push *p, struct endpoint *e, char **url, struct failure *f)
{
	int64_t size = p->job->request.size;
	if (!p->is_chunked)
		return finish_upload(p, e, url, 0, size, f);
	for (int64_t at = 0; at < size; at += CHUNK_BYTES) {
		int r = send_part(p, e, "PATCH", url, at, size - at < CHUNK_BYTES ? size - at : CHUNK_BYTES, f);
		if (r < 0)
			return r;
	}
	return finish_upload(p, e, url, size, 0, f);
}

static int try_push_blob(void *ctx, struct endpoint *e, struct failure *f)
{
	struct push *p = ctx;
	CLEANUP_FREE char *url = NULL;
	int r = is_there(p, e, f);
	if (r != 0) {
		p->event->result = FETCH_EXISTS;
		return r < 0 ? r : 0;
	}
	if ((r = begin_upload(p, e, &url, f)) < 0)
		return r;
	p->event->result = url ? FETCH_PUSHED : FETCH_MOUNTED;
	if (!url)
		return 0;
	r = upload(p, e, &url, f);
	if (r < 0 && f->status == 413 && !p->is_chunked) {
		p->is_chunked = true;
		f->is_transient = true;
	}
	return r;
}

int op_push_blob(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	CLEANUP(push_done) struct push p = { s, curl, job, event, op_scope(job), false, 0 };
	struct attempts a = { .is_origin_only = true, .attempt = try_push_blob, .ctx = &p };
	return attempts_run(s, job, &a, f);
}

/* ---- manifests ---- */

struct push_manifest {
	struct push push;
	struct buf text;
};

static void push_manifest_done(struct push_manifest *m)
{
	push_done(&m->push);
	buf_free(&m->text);
}

static int try_push_manifest(void *ctx, struct endpoint *e, struct failure *f)
{
	struct push_manifest *m = ctx;
	struct push *p = &m->push;
	const struct fetch_request *q = &p->job->request;
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	CLEANUP_FREE char *path = str_printf("/v2/%s/manifests/%s", q->repository, q->reference);
	struct ask a = { .path = path, .scope = p->scope,
			 .request = { .method = "PUT", .body = buf_str(&m->text), .body_len = (int64_t)m->text.len } };
	strv_printf(&a.request.headers, "Content-Type: %s", q->media_type ? q->media_type : "application/json");
	int r = ask(p->session, e, p->curl, &a, &res, f);
	strv_free(&a.request.headers);
	if (r < 0)
		return r;
	digest_of(m->text.data, m->text.len, p->event->digest);
	if (res.content_digest && str_starts_with(res.content_digest, "sha256:") && !str_eq(res.content_digest, p->event->digest))
		return err_set(&f->err, ERR_INVALID, 0, "%s stored another manifest than was sent", e->address.host);
	return 0;
}

int op_push_manifest(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	CLEANUP(push_manifest_done) struct push_manifest m = {
		.push = { s, curl, job, event, op_scope(job), false, 0 },
		.text = BUF_INIT(FETCH_MANIFEST_MAX),
	};
	struct attempts a = { .is_origin_only = true, .attempt = try_push_manifest, .ctx = &m };
	int r = lseek(job->fds[0], 0, SEEK_SET) < 0 ? -errno : fd_read_all(job->fds[0], &m.text);
	if (r < 0)
		return err_set(&f->err, ERR_SYSTEM, r, "read the manifest");
	return attempts_run(s, job, &a, f);
}
