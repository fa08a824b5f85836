/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry answers with 401: its WWW-Authenticate header, and whether the
 * address it sends a log-in to may be trusted with one.
 *
 * A registry that could name any realm would be handed credentials for it to
 * choose where: the realm is checked before anything is sent (realm_check). */
#pragma once

#include <stdbool.h>

#include "cleanup.h"
#include "err.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	/* Bearer; NULL when not said. */
	char *realm, *service, *scope;
};

/* Read one header value; several challenges may stand in it, Bearer is preferred
 * to Basic. Others are skipped. ERR_INVALID when it cannot be read. */
int challenge_parse(const char *header, struct challenge *ret, struct err *err) MUST_CHECK;
void challenge_done(struct challenge *c);
#define CLEANUP_CHALLENGE CLEANUP(challenge_done)

/* A web address, taken apart. */
struct web_address {
	bool is_https;
	char host[256]; /* lower case; an IPv6 address without its brackets */
	unsigned port;
	char *path; /* from '/' on; never NULL */
};
/* "http://" or "https://" only; no user, no control characters, no fragment. */
int web_address_parse(const char *url, struct web_address *ret, struct err *err) MUST_CHECK;
void web_address_done(struct web_address *a);
#define CLEANUP_WEB_ADDRESS CLEANUP(web_address_done)
bool web_address_same_origin(const struct web_address *a, const struct web_address *b);

/* localhost, 127/8, ::1. */
bool host_is_loopback(const char *host);
/* 169.254/16, fe80::/10: machines' metadata services live there. */
bool host_is_link_local(const char *host);

enum realm_trust {
	REALM_FULL,     /* credentials may go there */
	REALM_ANONYMOUS /* a token may be asked for, without credentials */
};
/* May @realm be asked for a token for the registry at @registry? It must not be
 * less protected than the registry itself; it gets credentials only if it is
 * of the same domain. @is_http_allowed: its host may speak plain HTTP.
 * ERR_DENIED says why not. */
int realm_check(const struct web_address *registry, const struct web_address *realm, bool is_http_allowed,
		enum realm_trust *ret, struct err *err) MUST_CHECK;
