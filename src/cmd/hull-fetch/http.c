/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define CONNECT_TIMEOUT_S 20L
#define BUFFER_BYTES (512L * 1024)
/* In each period without progress at least so much must have come: a server
 * that sends a byte now and then is as bad as one that sends nothing. */
#define STALL_BYTES 1024
#define HEADERS_MAX (256u * 1024)

struct exchange {
	CURL *curl;
	const struct http_request *request;
	struct http_response *response;
	bool has_begun, is_streamed, is_stalled, is_stopped;
	size_t header_bytes;
	int64_t sent, received;
	/* Start of the current period, and what had moved by then. */
	int64_t period_ms, period_bytes;
	struct err *err;
	int r;
};

void http_response_done(struct http_response *r)
{
	free(r->location);
	free(r->challenge);
	free(r->content_type);
	free(r->content_digest);
	free(r->link);
	buf_free(&r->body);
	*r = HTTP_RESPONSE_INIT;
}

/* ---- headers ---- */

static char *value_of(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);
	if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return NULL;
	const char *v = line + n + 1, *end = line + len;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (memchr(v, '\0', (size_t)(end - v)))
		return NULL;
	return str_ndup(v, (size_t)(end - v));
}

static void take(char **to, char *value)
{
	if (!value)
		return;
	free(*to);
	*to = value;
}

static int64_t read_retry_after(const char *s)
{
	uint64_t seconds;
	if (str_parse_u64_max(s, 86400, &seconds) == 0)
		return (int64_t)seconds * 1000;
	time_t at = curl_getdate(s, NULL), now = time(NULL);
	return at > now && at - now <= 86400 ? (int64_t)(at - now) * 1000 : 0;
}

static int64_t read_range_start(const char *s)
{
	uint64_t v;
	if (strncasecmp(s, "bytes ", 6) != 0)
		return -1;
	CLEANUP_FREE char *digits = str_ndup(s + 6, strspn(s + 6, "0123456789"));
	return str_parse_u64_max(digits, INT64_MAX, &v) == 0 ? (int64_t)v : -1;
}

/* Lists may come in several headers: joined as if in one. */
static void add(char **to, char *value)
{
	if (!value || !*to) {
		take(to, value);
		return;
	}
	take(to, str_printf("%s, %s", *to, value));
	free(value);
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	struct http_response *res = x->response;
	size_t len = size * n;
	x->header_bytes += len;
	if (x->header_bytes > HEADERS_MAX)
		return 0;
	if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
		/* The headers of a 100 or of a proxy's CONNECT do not count. */
		http_response_done(res);
		return len;
	}
	take(&res->location, value_of(line, len, "Location"));
	add(&res->challenge, value_of(line, len, "WWW-Authenticate"));
	add(&res->link, value_of(line, len, "Link"));
	take(&res->content_type, value_of(line, len, "Content-Type"));
	take(&res->content_digest, value_of(line, len, "Docker-Content-Digest"));
	CLEANUP_FREE char *retry = value_of(line, len, "Retry-After");
	if (retry)
		res->retry_after_ms = read_retry_after(retry);
	CLEANUP_FREE char *range = value_of(line, len, "Content-Range");
	if (range)
		res->range_start = read_range_start(range);
	CLEANUP_FREE char *length = value_of(line, len, "Content-Length");
	uint64_t v;
	if (length && str_parse_u64_max(length, INT64_MAX, &v) == 0)
		res->content_length = (int64_t)v;
	return len;
}

/* ---- body ---- */

static size_t stop(struct exchange *x, int r)
{
	x->is_stopped = true;
	x->r = r;
	return 0;
}

static int begin(struct exchange *x)
{
	const struct http_request *q = x->request;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->response->status);
	x->has_begun = true;
	x->is_streamed = q->on_data && (x->response->status == 200 || x->response->status == 206);
	return x->is_streamed && q->on_begin ? q->on_begin(q->ctx, x->response, x->err) : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	size_t len = size * n;
	int64_t before = clock_mono_ms();
	int r = x->has_begun ? 0 : begin(x);
	if (r < 0)
		return stop(x, r);
	x->received += (int64_t)len;
	if (x->is_streamed) {
		if ((r = x->request->on_data(x->request->ctx, data, len, x->err)) < 0)
			return stop(x, r);
	} else if (buf_append(&x->response->body, data, len) < 0) {
		return stop(x, err_set(x->err, ERR_INVALID, 0, "the registry's answer is too long"));
	}
	/* Time spent in handing the data on is not the server's. */
	x->period_ms += clock_mono_ms() - before;
	return len;
}

static size_t on_upload(char *out, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	const struct http_request *q = x->request;
	int64_t left = q->body_len - x->sent;
	size_t want = size * n;
	if ((int64_t)want > left)
		want = (size_t)left;
	if (!want)
		return 0;
	ssize_t got = want;
	if (q->body)
		memcpy(out, q->body + x->sent, want);
	else
		got = pread(q->body_fd, out, want, (off_t)(q->body_offset + x->sent));
	if (got <= 0) {
		stop(x, err_set(x->err, ERR_SYSTEM, got < 0 ? -errno : -EIO, "read what is to be sent"));
		return CURL_READFUNC_ABORT;
	}
	x->sent += got;
	if (q->on_sent)
		q->on_sent(q->ctx, x->sent);
	return (size_t)got;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
	struct exchange *x = ctx;
	if (origin != SEEK_SET || offset < 0 || offset > x->request->body_len)
		return CURL_SEEKFUNC_FAIL;
	x->sent = offset;
	return CURL_SEEKFUNC_OK;
}

/* Called about once a second even when nothing comes. */
static int on_time(void *ctx, curl_off_t dl_all, curl_off_t dl, curl_off_t ul_all, curl_off_t ul)
{
	struct exchange *x = ctx;
	int64_t moved = x->sent + x->received, now = clock_mono_ms();
	if (moved - x->period_bytes >= STALL_BYTES) {
		x->period_bytes = moved;
		x->period_ms = now;
	}
	x->is_stalled = x->request->stall_ms > 0 && now - x->period_ms > x->request->stall_ms;
	return x->is_stalled;
}

/* ---- what went wrong ---- */

static enum http_trouble trouble_of(const struct exchange *x, CURLcode code)
{
	if (x->is_stalled)
		return HTTP_CUT;
	switch (code) {
	case CURLE_OK:
		return HTTP_FINE;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return HTTP_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_NOT_TLS;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_URL_MALFORMAT:
	case CURLE_WRITE_ERROR: /* headers without end */
		return HTTP_REFUSED;
	default:
		return HTTP_CUT;
	}
}

static int explain(const struct exchange *x, CURLcode code, const char *detail, struct err *err)
{
	char host[256] = "the registry";
	struct web_address a = { 0 };
	if (web_address_parse(x->request->url, &a, NULL) == 0)
		snprintf(host, sizeof(host), "%s", a.host);
	int r;
	if (x->is_stalled) {
		r = err_set(err, ERR_TIMEOUT, -ETIMEDOUT, "%s stopped sending", host);
		err_why(err, "nothing, or next to nothing, came for %lld s", (long long)(x->request->stall_ms + 999) / 1000);
	} else if (code == CURLE_COULDNT_RESOLVE_HOST) {
		r = err_set(err, ERR_SYSTEM, 0, "lookup %s: no such host", host);
		err_why(err, "the name cannot be resolved; is there a network, and is it spelled right?");
	} else if (code == CURLE_COULDNT_CONNECT) {
		long number = 0;
		curl_easy_getinfo(x->curl, CURLINFO_OS_ERRNO, &number);
		r = err_set(err, ERR_SYSTEM, 0, "dial tcp %s:%u: connect: %s", host, a.port,
			    number == ECONNREFUSED ? "connection refused" : "cannot be reached");
		err_why(err, "%s", *detail ? detail : curl_easy_strerror(code));
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		r = err_set(err, ERR_DENIED, 0, "the certificate of %s is not trusted", host);
		err_why(err, "%s", detail);
		err_hint(err, "put its authority's certificate into /etc/docker/certs.d/%s%s/ca.crt", host,
			 a.port == 443 ? "" : ":PORT");
	} else if (code == CURLE_SSL_CONNECT_ERROR) {
		r = err_set(err, ERR_SYSTEM, 0, "no encrypted connection to %s:%u can be made", host, a.port);
		err_why(err, "%s", *detail ? detail : curl_easy_strerror(code));
		err_hint(err, "if it speaks plain HTTP, and the network is yours: name it in insecure-registries");
	} else if (code == CURLE_WRITE_ERROR) {
		r = err_set(err, ERR_INVALID, 0, "%s sent headers without end", host);
	} else {
		r = err_set(err, ERR_SYSTEM, -EIO, "the connection to %s broke", host);
		err_why(err, "%s", *detail ? detail : curl_easy_strerror(code));
	}
	web_address_done(&a);
	return r;
}

/* ---- the exchange ---- */

static void set_blob(CURL *curl, CURLoption option, const struct buf *text)
{
	struct curl_blob blob = { text->data, text->len, CURL_BLOB_NOCOPY };
	curl_easy_setopt(curl, option, &blob);
}

static void set_tls(CURL *curl, const struct tls_setup *tls)
{
	if (tls->is_insecure) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (tls->authorities)
		set_blob(curl, CURLOPT_CAINFO_BLOB, tls->authorities);
	if (tls->certificate)
		set_blob(curl, CURLOPT_SSLCERT_BLOB, tls->certificate);
	if (tls->key)
		set_blob(curl, CURLOPT_SSLKEY_BLOB, tls->key);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_method(CURL *curl, struct exchange *x)
{
	const struct http_request *q = x->request;
	if (str_eq(q->method, "HEAD"))
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else if (!str_eq(q->method, "GET")) {
		curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, q->method);
		curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_len);
		curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
		curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
		curl_easy_setopt(curl, CURLOPT_READDATA, x);
		curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(curl, CURLOPT_SEEKDATA, x);
	}
}

static struct curl_slist *make_headers(const struct http_request *q)
{
	/* A wait for "100 Continue" is a second lost at registries that know no such
	 * thing. */
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; i < q->headers.n; i++)
		list = curl_slist_append(list, q->headers.v[i]);
	return list;
}

/* NO_PROXY may name one port of a host, which libcurl does not know; all else
 * in it is libcurl's to read. */
static bool is_exempt_by_port(const struct web_address *a)
{
	const char *list = getenv("no_proxy") ? getenv("no_proxy") : getenv("NO_PROXY");
	CLEANUP_STRV struct strv entries = { 0 };
	CLEANUP_FREE char *name = str_printf(strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host, a->port);
	strv_split(&entries, list ? list : "", ',');
	for (size_t i = 0; i < entries.n; i++) {
		const char *entry = entries.v[i] + strspn(entries.v[i], " \t");
		if (strncasecmp(entry, name, strlen(name)) == 0 && strspn(entry + strlen(name), " \t") == strlen(entry + strlen(name)))
			return true;
	}
	return false;
}

static void set_up(CURL *curl, struct exchange *x, struct curl_slist *headers, char *detail)
{
	struct web_address a = { 0 };
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, x->request->url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "hull/" HULL_VERSION);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_time);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
	/* As Go's programs have it: this machine is never behind the proxy. */
	if (web_address_parse(x->request->url, &a, NULL) == 0 && (host_is_loopback(a.host) || is_exempt_by_port(&a)))
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	web_address_done(&a);
	set_method(curl, x);
	set_tls(curl, &x->request->tls);
}

int http_run(CURL *curl, const struct http_request *request, struct http_response *response,
	     enum http_trouble *ret_trouble, struct err *err)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct exchange x = { .curl = curl, .request = request, .response = response, .err = err,
			      .period_ms = clock_mono_ms() };
	struct curl_slist *headers = make_headers(request);
	http_response_done(response);
	set_up(curl, &x, headers, detail);
	CURLcode code = curl_easy_perform(curl);
	int r = 0;
	if (code == CURLE_OK && !x.has_begun)
		r = begin(&x); /* no body */
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
	/* The header list and the error buffer end here. */
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	if (r < 0 || x.is_stopped) {
		*ret_trouble = HTTP_STOPPED;
		return r < 0 ? r : x.r;
	}
	/* A registry may answer, and close, before it has read the whole upload. */
	if (code == CURLE_SEND_ERROR && response->status >= 400)
		code = CURLE_OK;
	*ret_trouble = trouble_of(&x, code);
	return *ret_trouble == HTTP_FINE ? 0 : explain(&x, code, detail, err);
}
