/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch_proto.h"

#include <string.h>

#include "json.h"

static const char *const op_names[] = {
	[FETCH_CHECK] = "check",	 [FETCH_MANIFEST] = "manifest",		  [FETCH_BLOB] = "blob",
	[FETCH_PUSH_BLOB] = "push-blob", [FETCH_PUSH_MANIFEST] = "push-manifest",
	[FETCH_TAGS] = "tags",
};
static_assert(ARRAY_LEN(op_names) == FETCH_OP_COUNT, "a name for each operation");

static const char *const event_names[] = {
	[FETCH_PROGRESS] = "progress",
	[FETCH_RETRY] = "retry",
	[FETCH_DONE] = "done",
	[FETCH_FAILED] = "failed",
};
static_assert(ARRAY_LEN(event_names) == FETCH_EVENT_COUNT, "a name for each event");

static const char *const result_names[] = {
	[FETCH_RESULT_NONE] = "", [FETCH_EXISTS] = "exists", [FETCH_MOUNTED] = "mounted", [FETCH_PUSHED] = "pushed",
};
static_assert(ARRAY_LEN(result_names) == FETCH_RESULT_COUNT, "a name for each result");

static int find_name(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(names[i], s))
			return (int)i;
	return -1;
}

void fetch_options_done(struct fetch_options *o)
{
	strv_free(&o->mirrors);
	strv_free(&o->insecure);
	free(o->username);
	free(o->password);
	free(o->identity_token);
	free(o->registry_token);
	free(o->certs_dir);
	*o = (struct fetch_options){ 0 };
}

void fetch_open_done(struct fetch_open *o)
{
	free(o->registry);
	fetch_options_done(&o->options);
	*o = (struct fetch_open){ 0 };
}

void fetch_request_done(struct fetch_request *r)
{
	free(r->repository);
	free(r->reference);
	free(r->digest);
	free(r->media_type);
	free(r->mount_from);
	*r = (struct fetch_request){ 0 };
}

void fetch_event_done(struct fetch_event *e)
{
	free(e->identity_token);
	*e = (struct fetch_event){ 0 };
}

/* ---- writing ---- */

static void put(struct json_writer *w, const char *key, const char *s)
{
	if (s)
		jw_kv_str(w, key, s);
}

static int end(struct json_writer *w)
{
	jw_object_end(w);
	int r = json_writer_finish(w);
	return r < 0 ? r : buf_append_char(w->out, '\n');
}

int fetch_open_write(const struct fetch_open *o, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_str(&w, "registry", o->registry);
	jw_kv_strv(&w, "mirrors", &o->options.mirrors);
	jw_kv_strv(&w, "insecure", &o->options.insecure);
	put(&w, "username", o->options.username);
	put(&w, "password", o->options.password);
	put(&w, "identityToken", o->options.identity_token);
	put(&w, "registryToken", o->options.registry_token);
	put(&w, "certsDir", o->options.certs_dir);
	jw_kv_i64(&w, "stallMs", o->options.stall_ms);
	jw_kv_i64(&w, "tries", o->options.tries);
	return end(&w);
}

int fetch_request_write(const struct fetch_request *r, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_i64(&w, "id", (int64_t)r->id);
	jw_kv_str(&w, "op", op_names[r->op]);
	put(&w, "repository", r->repository);
	put(&w, "reference", r->reference);
	put(&w, "digest", r->digest);
	jw_kv_i64(&w, "size", r->size);
	jw_kv_i64(&w, "offset", r->offset);
	put(&w, "mediaType", r->media_type);
	put(&w, "mountFrom", r->mount_from);
	jw_kv_bool(&w, "verify", r->is_verified);
	jw_kv_bool(&w, "originOnly", r->is_origin_only);
	jw_kv_bool(&w, "push", r->wants_push);
	return end(&w);
}

int fetch_event_write(const struct fetch_event *e, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, 0);
	jw_object(&w);
	jw_kv_i64(&w, "id", (int64_t)e->id);
	jw_kv_str(&w, "event", event_names[e->kind]);
	if (e->kind == FETCH_PROGRESS)
		jw_kv_i64(&w, "bytes", e->bytes);
	if (e->kind == FETCH_RETRY)
		jw_kv_i64(&w, "delayMs", e->delay_ms);
	if (e->kind == FETCH_DONE) {
		jw_kv_str(&w, "result", result_names[e->result]);
		put(&w, "digest", *e->digest ? e->digest : NULL);
		put(&w, "mediaType", *e->media_type ? e->media_type : NULL);
		put(&w, "identityToken", e->identity_token);
	}
	if (e->kind == FETCH_FAILED || e->kind == FETCH_RETRY) {
		jw_kv_i64(&w, "kind", e->err.kind);
		jw_kv_i64(&w, "errno", e->err.errnum);
		jw_kv_str(&w, "message", e->err.msg);
		jw_kv_str(&w, "why", e->err.why);
		jw_kv_str(&w, "hint", e->err.hint);
		jw_kv_i64(&w, "status", e->status);
		jw_kv_bool(&w, "unread", e->is_unread);
	}
	return end(&w);
}

/* ---- reading ---- */

static int begin(const char *text, size_t len, const char *what, struct json **ret, struct err *err)
{
	if (len > FETCH_MESSAGE_MAX)
		return err_set(err, ERR_SYSTEM, -E2BIG, "a message of %s", what);
	int r = json_parse(text, len, what, ret, err);
	if (r >= 0 && json_kind(*ret) != JT_OBJECT) {
		json_free(TAKE_PTR(*ret));
		return err_set(err, ERR_INVALID, 0, "a message of %s is not an object", what);
	}
	return r;
}

static int wrong(const char *what, const char *key, struct err *err)
{
	return err_set(err, ERR_INVALID, 0, "a message of %s has a wrong %s", what, key);
}

/* A text that, if it is there, is a text. */
static int take(const struct json *root, const char *key, const char *what, char **ret, struct err *err)
{
	const struct json *v = json_get(root, key);
	if (!v)
		return 0;
	if (!json_str(v))
		return wrong(what, key, err);
	*ret = str_dup(json_str(v));
	return 0;
}

int fetch_open_parse(const char *text, size_t len, struct fetch_open *ret, struct err *err)
{
	static const char what[] = "hull";
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_FETCH_OPEN struct fetch_open o = { 0 };
	struct fetch_options *x = &o.options;
	int r = begin(text, len, what, &root, err);
	if (r < 0 || (r = take(root, "registry", what, &o.registry, err)) < 0 ||
	    (r = take(root, "username", what, &x->username, err)) < 0 ||
	    (r = take(root, "password", what, &x->password, err)) < 0 ||
	    (r = take(root, "identityToken", what, &x->identity_token, err)) < 0 ||
	    (r = take(root, "registryToken", what, &x->registry_token, err)) < 0 ||
	    (r = take(root, "certsDir", what, &x->certs_dir, err)) < 0)
		return r;
	if (json_get_strv(root, "mirrors", &x->mirrors) < 0)
		return wrong(what, "mirrors", err);
	if (json_get_strv(root, "insecure", &x->insecure) < 0)
		return wrong(what, "insecure", err);
	x->stall_ms = json_get_i64(root, "stallMs", 0);
	x->tries = json_get_i64(root, "tries", 0);
	if (str_is_empty(o.registry))
		return wrong(what, "registry", err);
	if (x->stall_ms < 0 || x->stall_ms > 86400000)
		return wrong(what, "stallMs", err);
	if (x->tries < 0 || x->tries > 100)
		return wrong(what, "tries", err);
	*ret = o;
	o = (struct fetch_open){ 0 };
	return 0;
}

int fetch_request_parse(const char *text, size_t len, struct fetch_request *ret, struct err *err)
{
	static const char what[] = "hull";
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_FETCH_REQUEST struct fetch_request q = { 0 };
	int r = begin(text, len, what, &root, err);
	if (r < 0 || (r = take(root, "repository", what, &q.repository, err)) < 0 ||
	    (r = take(root, "reference", what, &q.reference, err)) < 0 ||
	    (r = take(root, "digest", what, &q.digest, err)) < 0 ||
	    (r = take(root, "mediaType", what, &q.media_type, err)) < 0 ||
	    (r = take(root, "mountFrom", what, &q.mount_from, err)) < 0)
		return r;
	int op = find_name(op_names, FETCH_OP_COUNT, json_get_str(root, "op"));
	int64_t id = json_get_i64(root, "id", -1);
	if (op < 0)
		return wrong(what, "op", err);
	if (id < 0)
		return wrong(what, "id", err);
	q.op = (enum fetch_op)op;
	q.id = (uint64_t)id;
	q.size = json_get_i64(root, "size", 0);
	q.offset = json_get_i64(root, "offset", 0);
	q.is_verified = json_get_bool(root, "verify", false);
	q.is_origin_only = json_get_bool(root, "originOnly", false);
	q.wants_push = json_get_bool(root, "push", false);
	if (q.size < 0 || q.offset < 0 || q.offset > q.size)
		return wrong(what, "size", err);
	if (q.op != FETCH_CHECK && str_is_empty(q.repository))
		return wrong(what, "repository", err);
	if ((q.op == FETCH_MANIFEST || q.op == FETCH_PUSH_MANIFEST) && str_is_empty(q.reference))
		return wrong(what, "reference", err);
	if ((q.op == FETCH_BLOB || q.op == FETCH_PUSH_BLOB) && str_is_empty(q.digest))
		return wrong(what, "digest", err);
	*ret = q;
	q = (struct fetch_request){ 0 };
	return 0;
}

static bool is_sha256(const char *s)
{
	return str_starts_with(s, "sha256:") && strlen(s) == 71 && strspn(s + 7, "0123456789abcdef") == 64;
}

/* Text from strangers is shown on terminals: control characters go. */
static void set_text(char *dst, size_t size, const char *s)
{
	size_t n = 0;
	for (; *s && n + 1 < size; s++)
		dst[n++] = (unsigned char)*s < 0x20 || *s == 0x7f ? ' ' : *s;
	/* Not in the middle of a character. */
	while (*s && n && ((unsigned char)dst[n - 1] & 0xc0) == 0x80)
		n--;
	if (*s && n && ((unsigned char)dst[n - 1] & 0xc0) == 0xc0)
		n--;
	dst[n] = '\0';
}

static int read_done(const struct json *root, struct fetch_event *e, struct err *err)
{
	static const char what[] = FETCH_PROGRAM;
	const char *digest = json_get_str_or(root, "digest", ""), *type = json_get_str_or(root, "mediaType", "");
	int result = find_name(result_names, FETCH_RESULT_COUNT, json_get_str_or(root, "result", ""));
	if (result < 0)
		return wrong(what, "result", err);
	if (*digest && !is_sha256(digest))
		return wrong(what, "digest", err);
	if (strlen(type) >= sizeof(e->media_type))
		return wrong(what, "mediaType", err);
	e->result = (enum fetch_result)result;
	memcpy(e->digest, digest, strlen(digest) + 1);
	set_text(e->media_type, sizeof(e->media_type), type);
	return take(root, "identityToken", what, &e->identity_token, err);
}

static int read_failed(const struct json *root, struct fetch_event *e, struct err *err)
{
	int64_t kind = json_get_i64(root, "kind", ERR_SYSTEM), errnum = json_get_i64(root, "errno", 0);
	if (kind <= ERR_NONE || kind >= ERR_KIND_COUNT || errnum > 0 || errnum < -4095)
		return wrong(FETCH_PROGRAM, "kind", err);
	e->err.kind = (enum err_kind)kind;
	e->err.errnum = (int)errnum;
	set_text(e->err.msg, sizeof(e->err.msg), json_get_str_or(root, "message", "the registry failed"));
	set_text(e->err.why, sizeof(e->err.why), json_get_str_or(root, "why", ""));
	set_text(e->err.hint, sizeof(e->err.hint), json_get_str_or(root, "hint", ""));
	e->status = json_get_i64(root, "status", 0);
	e->is_unread = json_get_bool(root, "unread", false);
	e->delay_ms = json_get_i64(root, "delayMs", 0);
	return 0;
}

int fetch_event_parse(const char *text, size_t len, struct fetch_event *ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	int r = begin(text, len, FETCH_PROGRAM, &root, err);
	if (r < 0)
		return r;
	int kind = find_name(event_names, FETCH_EVENT_COUNT, json_get_str(root, "event"));
	int64_t id = json_get_i64(root, "id", -1);
	if (kind < 0)
		return wrong(FETCH_PROGRAM, "event", err);
	if (id < 0)
		return wrong(FETCH_PROGRAM, "id", err);
	e.kind = (enum fetch_event_kind)kind;
	e.id = (uint64_t)id;
	e.bytes = json_get_i64(root, "bytes", 0);
	if (e.bytes < 0)
		return wrong(FETCH_PROGRAM, "bytes", err);
	if (e.kind == FETCH_DONE)
		r = read_done(root, &e, err);
	else if (e.kind != FETCH_PROGRESS)
		r = read_failed(root, &e, err);
	if (r < 0)
		return r;
	*ret = e;
	e = (struct fetch_event){ 0 };
	return 0;
}
