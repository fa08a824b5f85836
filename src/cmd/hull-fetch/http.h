/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange over libcurl: a request out, headers and a body in. No
 * redirects, no log-in, no second try: those are decided above. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth_challenge.h"
#include "buf.h"
#include "str.h"

/* Bodies that nobody asked to have streamed: errors, tokens. */
#define HTTP_BODY_MAX (1u << 20)

/* The secrets and certificates of one host, as PEM texts. */
struct tls_setup {
	bool is_insecure;
	/* System and own authorities; NULL: the system's. */
	const struct buf *authorities;
	/* Client certificate and key; NULL: none. */
	const struct buf *certificate, *key;
};

struct http_response {
	long status;
	/* NULL when not sent. */
	char *location, *challenge, *content_type, *content_digest, *link;
	/* -1: not said. */
	int64_t content_length;
	/* Of Content-Range: where the body starts; -1: not said. */
	int64_t range_start;
	int64_t retry_after_ms;
	/* The body, when it was not streamed; cut at its maximum. */
	struct buf body;
};
void http_response_done(struct http_response *r);
#define CLEANUP_HTTP_RESPONSE CLEANUP(http_response_done)
#define HTTP_RESPONSE_INIT \
	((struct http_response){ .content_length = -1, .range_start = -1, .body = BUF_INIT(HTTP_BODY_MAX) })

struct http_request {
	const char *method;
	const char *url;
	/* "Name: value"; Authorization and Range too. */
	struct strv headers;
	/* What is sent: a text, or @body_len bytes of @body_fd from @body_offset. */
	const char *body;
	int body_fd;
	int64_t body_offset, body_len;
	void (*on_sent)(void *ctx, int64_t bytes);
	/* Who gets the body of a 200 or 206; NULL: it is gathered. Begins with the
	 * headers in; may end the exchange with an error, which @err of http_run() gets. */
	int (*on_begin)(void *ctx, const struct http_response *response, struct err *err);
	int (*on_data)(void *ctx, const char *data, size_t len, struct err *err);
	void *ctx;
	struct tls_setup tls;
	/* Without so many milliseconds of progress it is given up. */
	int64_t stall_ms;
};

/* Why an exchange gave no whole response. */
enum http_trouble {
	HTTP_FINE,
	HTTP_UNREACHABLE, /* no connection */
	HTTP_NOT_TLS,     /* the other side does not speak TLS */
	HTTP_CUT,         /* the connection broke or stalled: trying again may help */
	HTTP_REFUSED,     /* a certificate that nobody vouches for, a protocol error */
	HTTP_STOPPED,     /* on_begin or on_data said so */
};

/* Run it on @curl (reset first, its connections are kept). On trouble returns
 * a negative errno with @err filled, and what has come so far in *response. */
int http_run(CURL *curl, const struct http_request *request, struct http_response *response,
	     enum http_trouble *ret_trouble, struct err *err) MUST_CHECK;
