/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a repository's tags, page by page. */
#include <string.h>

#include "fd.h"
#include "tag_list.h"
#include "worker_ops.h"

#define PAGE_BYTES_MAX (4u << 20)
#define PAGES_MAX 1000u

struct op {
	struct session *session;
	CURL *curl;
	struct job *job;
	char *scope;
};

static int on_page(void *ctx, const char *data, size_t len, struct err *err)
{
	struct buf *text = ctx;
	if (buf_append(text, data, len) == 0)
		return 0;
	return err_set(err, ERR_INVALID, 0, "the registry sent a document longer than %zu bytes", text->max);
}

/* One page, added to @tags; *ret_query leads to the next one, NULL: there is none. */
static int get_page(struct op *op, struct endpoint *e, const char *path, const char *query, struct strv *tags, char **ret_query,
		    struct failure *f)
{
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT(PAGE_BYTES_MAX);
	CLEANUP_FREE char *full = query ? str_printf("%s?%s", path, query) : str_dup(path);
	struct ask a = { .path = full, .scope = op->scope,
			 .request = { .method = "GET", .on_data = on_page, .ctx = &text } };
	int r = ask(op->session, e, op->curl, &a, &res, f);
	/* Too long is this endpoint's fault, not ours. */
	f->is_ours = false;
	if (r == 0)
		r = tag_list_parse(buf_str(&text), text.len, tags, &f->err);
	return r < 0 ? r : tag_list_next(res.link, path, ret_query, &f->err);
}

static int get_all(struct op *op, struct endpoint *e, struct strv *tags, struct failure *f)
{
	CLEANUP_FREE char *path = str_printf("/v2/%s/tags/list", op->job->request.repository), *query = NULL;
	for (unsigned i = 0; i < PAGES_MAX; i++) {
		char *next = NULL;
		int r = get_page(op, e, path, query, tags, &next, f);
		if (r < 0 || !next)
			return r;
		bool is_circle = str_eq(next, query);
		free(query);
		query = next;
		if (is_circle)
			return err_set(&f->err, ERR_INVALID, 0, "the registry's list of tags goes in circles");
		job_progress(op->job, (int64_t)tags->n);
	}
	return err_set(&f->err, ERR_INVALID, 0, "the registry's list of tags has more than %u pages", PAGES_MAX);
}

static int try_tags(void *ctx, struct endpoint *e, struct failure *f)
{
	struct op *op = ctx;
	CLEANUP_STRV struct strv tags = { 0 };
	int r = get_all(op, e, &tags, f);
	if (r < 0)
		return r;
	CLEANUP_FREE char *text = strv_join(&tags, "\n");
	r = fd_write_all(op->job->fds[0], text, strlen(text));
	if (r < 0) {
		f->is_ours = true;
		return err_set(&f->err, ERR_SYSTEM, r, "hand on the list of tags");
	}
	return 0;
}

int op_tags(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f)
{
	struct op op = { s, curl, job, op_scope(job) };
	struct attempts a = { .is_origin_only = job->request.is_origin_only, .attempt = try_tags, .ctx = &op };
	int r = attempts_run(s, job, &a, f);
	free(op.scope);
	return r;
}
