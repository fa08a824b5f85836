/* SPDX-License-Identifier: Apache-2.0 */
/* A registry at the end of a hull-fetch: requests go out, events come back
 * (proto/fetch_proto.h). hull itself never talks to the network, and believes
 * what it is told only after looking: digests are checked again here. */
#pragma once

#include "fetch_proto.h"

struct registry;

/* Start a worker for the registry @name ("docker.io"). Returns before anything
 * is sent over the network. */
int registry_open(const char *name, const struct fetch_options *options, struct registry **ret, struct err *err) MUST_CHECK;
/* End it, and whatever it still does, at once. NULL is fine. */
void registry_close(struct registry *r);
static inline void cleanup_registry(struct registry **r)
{
	registry_close(*r);
}
#define CLEANUP_REGISTRY CLEANUP(cleanup_registry)

/* Send @request with its descriptors (borrowed); its id is set. */
int registry_send(struct registry *r, struct fetch_request *request, const int *fds, size_t n, struct err *err) MUST_CHECK;
/* Readable when an event is there. */
int registry_fd(const struct registry *r);
/* Wait for the next event. An error when the worker has died. */
int registry_next(struct registry *r, struct fetch_event *ret, struct err *err) MUST_CHECK;
/* Wait for the end of request @id, the only one that runs: a FETCH_FAILED
 * becomes its error, with *ret_status (may be NULL) the HTTP status or 0. -EINTR
 * as soon as *@stop (may be NULL) is not 0. */
int registry_wait(struct registry *r, uint64_t id, const volatile int *stop, struct fetch_event *ret, int64_t *ret_status,
		  struct err *err) MUST_CHECK;

/* The manifest @reference (tag or digest) of @repository into @out, checked. */
int registry_manifest(struct registry *r, const char *repository, const char *reference, const volatile int *stop,
		      struct buf *out, char ret_type[160], char ret_digest[72], int64_t *ret_status,
		      struct err *err) MUST_CHECK;
/* A small blob into @out, checked. */
int registry_document(struct registry *r, const char *repository, const char *digest, int64_t size,
		      const volatile int *stop, struct buf *out, int64_t *ret_status, struct err *err) MUST_CHECK;
/* The tags of @repository, as the registry lists them, added to @ret. */
int registry_tags(struct registry *r, const char *repository, const volatile int *stop, struct strv *ret, int64_t *ret_status,
		  struct err *err) MUST_CHECK;
/* A descriptor that reads as @text. */
int registry_text_fd(const char *text, size_t len, struct err *err) MUST_CHECK;
/* Is the registry there, and does it take the log-in? *ret_identity (caller
 * frees) is what to keep instead of the password, or NULL. */
int registry_check(const char *name, const struct fetch_options *options, char **ret_identity, struct err *err) MUST_CHECK;
