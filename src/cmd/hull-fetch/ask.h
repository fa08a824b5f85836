/* SPDX-License-Identifier: Apache-2.0 */
/* A request to a registry, with all that stands between it and its answer: the
 * log-in, redirects, and judging what a failure means. */
#pragma once

#include "endpoint.h"

#define REDIRECTS_MAX 10

/* Why there is no good answer, and what may be done about it. */
struct failure {
	struct err err;
	long status; /* 0: none was got */
	/* The same again may work. */
	bool is_transient;
	/* At least so long from now; 0: not said. */
	int64_t retry_after_ms;
	/* The receiver of the data is the one that failed. */
	bool is_ours;
};

struct ask {
	/* Path below the endpoint, "/v2/x/manifests/y", or, when it begins with
	 * "http", a whole address on the same endpoint. */
	const char *path;
	const char *scope;
	/* Its url, headers' Authorization and tls are filled in. */
	struct http_request request;
	/* Statuses other than 200..299 that are an answer too; 0-terminated. */
	long accepted[4];
};

/* 0 with *response filled, or a negative errno with *failure. */
int ask(struct session *s, struct endpoint *e, CURL *curl, struct ask *a, struct http_response *response,
	struct failure *failure) MUST_CHECK;

/* "GET /v2/...: 500 Internal Server Error" and the registry's own words. */
int ask_failed(const struct ask *a, const struct endpoint *e, const struct http_response *response,
	       struct failure *failure);
