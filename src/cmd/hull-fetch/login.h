/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header for an endpoint: basic, or a token that is fetched
 * from the realm the registry names, after that has been checked. */
#pragma once

#include "endpoint.h"

/* What the endpoint is known to want; *ret_header is NULL when nothing. @scope:
 * "repository:x:pull", NULL for none. */
int login_header(struct session *s, struct endpoint *e, CURL *curl, const char *scope, char **ret_header,
		 struct err *err) MUST_CHECK;
/* The endpoint refused @used_header (may be NULL) and sent @challenge: 1 when
 * another header is worth a try, 0 when not. */
int login_refused(struct session *s, struct endpoint *e, const char *challenge, const char *scope,
		  const char *used_header, struct err *err) MUST_CHECK;
/* Docker's log-in: get a lasting token for the user instead of the password.
 * *ret is NULL when the registry gives none. */
int login_identity(struct session *s, struct endpoint *e, CURL *curl, char **ret, struct err *err) MUST_CHECK;
