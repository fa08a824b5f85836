/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "login.h"

static const char *reason(long status)
{
	static const struct {
		long status;
		const char *text;
	} known[] = {
		{ 400, "Bad Request" },	      { 401, "Unauthorized" },	       { 403, "Forbidden" },
		{ 404, "Not Found" },	      { 405, "Method Not Allowed" },   { 413, "Too Large" },
		{ 429, "Too Many Requests" }, { 500, "Internal Server Error" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "";
}

/* "errors":[{"code":"X","message":"y"}] */
static void registry_words(const struct http_response *res, char *out, size_t size)
{
	CLEANUP_JSON struct json *root = NULL;
	struct err ignored = ERR_INIT;
	out[0] = '\0';
	if (json_parse(buf_str(&res->body), res->body.len, "answer", &root, &ignored) < 0)
		return;
	const struct json *first = json_array_at(json_get(root, "errors"), 0);
	const char *message = json_get_str(first, "message"), *code = json_get_str(first, "code");
	if (message || code)
		snprintf(out, size, "%.60s%s%.140s", code ? code : "", code && message ? ": " : "", message ? message : "");
}

int ask_failed(const struct ask *a, const struct endpoint *e, const struct http_response *res, struct failure *f)
{
	char words[220];
	long status = res->status;
	enum err_kind kind = status == 404 ? ERR_NOT_FOUND : status == 401 || status == 403 ? ERR_DENIED : ERR_SYSTEM;
	int errnum = status == 404 ? -ENOENT : kind == ERR_DENIED ? -EACCES : -EIO;
	registry_words(res, words, sizeof(words));
	int r = err_set(&f->err, kind, 0, "%s %s%.200s: %ld %s", a->request.method, e->base, a->path, status, reason(status));
	if (*words)
		err_why(&f->err, "%s", words);
	f->err.errnum = errnum;
	f->status = status;
	f->is_transient = status == 429 || status == 408 || status >= 500;
	f->retry_after_ms = res->retry_after_ms;
	(void)r;
	return errnum;
}

/* ---- redirects ---- */

static int join(const char *base, const char *location, char **ret)
{
	CURLU *u = curl_url();
	char *text = NULL;
	int r = u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
				curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
				curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK
			? 0
			: -EINVAL;
	*ret = r < 0 ? NULL : str_dup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return r;
}

/* Where @location leads from @url, if it may. */
static int follow(const struct session *s, const struct endpoint *e, const char *url, const char *location, char **ret,
		  struct err *err)
{
	CLEANUP_WEB_ADDRESS struct web_address to = { 0 };
	CLEANUP_FREE char *next = NULL;
	const char *why = NULL;
	struct err reason_err = ERR_INIT;
	/* curl reads more than we do; what both read the same way is taken. */
	if (!location || join(url, location, &next) < 0)
		why = "it has no proper address";
	else if (web_address_parse(next, &to, &reason_err) < 0)
		why = reason_err.why;
	else if (!to.is_https && (e->address.is_https || !session_allows_http(s, &to)))
		why = "it leads from an encrypted to an open connection";
	else if (host_is_link_local(to.host) && !str_eq(to.host, e->address.host))
		why = "it leads to this machine's own link";
	else if (host_is_loopback(to.host) && !host_is_loopback(e->address.host))
		why = "it leads to this machine itself";
	if (why) {
		int r = err_set(err, ERR_DENIED, 0, "%s sent a redirect that is refused", e->address.host);
		err_why(err, "%s", why);
		return r;
	}
	*ret = TAKE_PTR(next);
	return 0;
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* ---- one round ---- */

static bool is_answer(const struct ask *a, long status)
{
	if (status >= 200 && status < 300)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(a->accepted) && a->accepted[i]; i++)
		if (a->accepted[i] == status)
			return true;
	return false;
}

static int run_once(struct session *s, struct endpoint *e, CURL *curl, struct ask *a, const char *url,
		    const char *authorization, struct http_response *res, struct failure *f)
{
	CLEANUP_WEB_ADDRESS struct web_address to = { 0 };
	struct http_request q = a->request;
	enum http_trouble trouble;
	int r = web_address_parse(url, &to, &f->err);
	if (r < 0)
		return r;
	q.url = url;
	q.headers = (struct strv){ 0 };
	strv_extend(&q.headers, &a->request.headers);
	/* Only ever to the registry itself. */
	if (authorization && web_address_same_origin(&to, &e->address))
		strv_add(&q.headers, authorization);
	session_tls(s, e, &to, &q.tls);
	q.stall_ms = s->stall_ms;
	r = http_run(curl, &q, res, &trouble, &f->err);
	strv_free(&q.headers);
	if (trouble == HTTP_FINE)
		e->has_answered = true;
	f->status = res->status;
	f->is_ours = trouble == HTTP_STOPPED;
	/* A registry that has never been there will hardly be there in a second. */
	f->is_transient = r < 0 && (trouble == HTTP_CUT || (trouble == HTTP_UNREACHABLE && e->has_answered));
	return r;
}

static int refused(struct session *s, struct endpoint *e, struct ask *a, const struct http_response *res,
		   const char *used, unsigned *logins, struct failure *f)
{
	int r = ++*logins > 2 ? 0 : login_refused(s, e, res->challenge, a->scope, used, &f->err);
	return r != 0 ? r : ask_failed(a, e, res, f);
}

int ask(struct session *s, struct endpoint *e, CURL *curl, struct ask *a, struct http_response *res, struct failure *f)
{
	unsigned logins = 0, redirects = 0;
	*f = (struct failure){ 0 };
	int r = endpoint_probe(s, e, curl, &f->err);
	if (r < 0) {
		f->is_transient = f->err.kind == ERR_TIMEOUT;
		return r;
	}
	CLEANUP_FREE char *url = str_starts_with(a->path, "http") ? str_dup(a->path) : str_printf("%s%s", e->base, a->path);
	for (;;) {
		CLEANUP_FREE char *authorization = NULL;
		if ((r = login_header(s, e, curl, a->scope, &authorization, &f->err)) < 0)
			return r;
		if ((r = run_once(s, e, curl, a, url, authorization, res, f)) < 0)
			return r;
		if (is_answer(a, res->status))
			return 0;
		if (is_redirect(res->status)) {
			char *next = NULL;
			if (++redirects > REDIRECTS_MAX) {
				return err_set(&f->err, ERR_SYSTEM, 0, "%s redirects more than %d times", e->address.host,
					       REDIRECTS_MAX);
			}
			if ((r = follow(s, e, url, res->location, &next, &f->err)) < 0)
				return r;
			free(url);
			url = next;
			continue;
		}
		/* A log-in is for the registry; elsewhere 401 is an answer. */
		if (res->status != 401)
			return ask_failed(a, e, res, f);
		if ((r = refused(s, e, a, res, authorization, &logins, f)) < 0)
			return r;
	}
}
