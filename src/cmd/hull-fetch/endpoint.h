/* SPDX-License-Identifier: Apache-2.0 */
/* Where a registry is reached: its mirrors and itself, each with what is known
 * about talking to it: scheme, kind of log-in, tokens. Shared by the threads. */
#pragma once

#include <pthread.h>

#include "certs.h"
#include "fetch_proto.h"
#include "http.h"

#define ENDPOINTS_MAX 16
#define TOKENS_MAX 32

struct token {
	char *scope, *header;
	int64_t expires_ms;
};

struct endpoint {
	/* "https://host:port/prefix", without a slash at the end; the scheme may
	 * become http once probed. */
	char *base;
	struct web_address address;
	/* What /etc/docker/certs.d may also call it. */
	char *certs_name;
	bool is_mirror;
	/* Plain HTTP will do. */
	bool is_http_allowed;
	/* Held while it is found out how to talk to it. */
	pthread_mutex_t lock;
	bool is_probed, has_answered;
	struct challenge challenge;
	struct token tokens[TOKENS_MAX];
	size_t tokens_n;
};

struct session {
	struct fetch_open open;
	struct certs *certs;
	/* The registry itself is the last. */
	struct endpoint endpoints[ENDPOINTS_MAX];
	size_t endpoints_n;
	int64_t stall_ms, tries;
};

/* Take over @open. */
int session_init(struct session *s, struct fetch_open *open, struct err *err) MUST_CHECK;
struct endpoint *session_origin(struct session *s);
/* May the host be spoken to in plain HTTP? */
bool session_allows_http(const struct session *s, const struct web_address *a);
/* Certificates and strictness for an address that @e has led to. */
void session_tls(const struct session *s, const struct endpoint *e, const struct web_address *a, struct tls_setup *tls);
/* Find out the scheme if that is open. */
int endpoint_probe(struct session *s, struct endpoint *e, CURL *curl, struct err *err) MUST_CHECK;
