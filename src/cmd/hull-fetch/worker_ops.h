/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of hull-fetch, each from its request to its last event. */
#pragma once

#include "ask.h"

/* One request with its descriptors, and where its events go. */
struct job {
	struct fetch_request request;
	int fds[FETCH_FDS_MAX]; /* -1: not given */
	int socket;
	int64_t reported_ms;
	struct job *next;
};
void job_free(struct job *job);

void job_progress(struct job *job, int64_t bytes);
void job_retry(struct job *job, const struct failure *f, int64_t delay_ms);
void job_done(struct job *job, const struct fetch_event *event);
void job_failed(struct job *job, const struct failure *f);

/* Run it on this thread's @curl; sends the last event itself. */
void job_run(struct session *s, CURL *curl, struct job *job);

/* Call @attempt for each endpoint, several times where that may help, with
 * pauses. @progress counts whatever tells that an attempt got somewhere. */
struct attempts {
	bool is_origin_only;
	int (*attempt)(void *ctx, struct endpoint *e, struct failure *f);
	const int64_t *progress;
	void *ctx;
};
int attempts_run(struct session *s, struct job *job, const struct attempts *a, struct failure *f) MUST_CHECK;

/* The operations: 0, or a negative errno with *f. */
int op_check(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f) MUST_CHECK;
int op_manifest(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f) MUST_CHECK;
int op_blob(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f) MUST_CHECK;
int op_push_blob(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f) MUST_CHECK;
int op_push_manifest(struct session *s, CURL *curl, struct job *job, struct fetch_event *event,
		     struct failure *f) MUST_CHECK;
int op_tags(struct session *s, CURL *curl, struct job *job, struct fetch_event *event, struct failure *f) MUST_CHECK;

/* "repository:x:pull" or "repository:x:pull,push", allocated. */
char *op_scope(const struct job *job);
