/* SPDX-License-Identifier: Apache-2.0 */
/* The record of what happened: a table, written in the transaction of the
 * change itself. */
#pragma once

#include "state.h"

/* @attributes are "key=value"; may be NULL. */
int event_record(struct engine *engine, const char *type, const char *action, const char *actor,
		 const struct strv *attributes, struct err *err) MUST_CHECK;
/* With image, name and labels of @c added, and @extra ("key=value" or NULL). */
int event_record_container_at(struct engine *engine, const struct container *c, int64_t wall_ns, const char *action,
			      const char *extra, struct err *err) MUST_CHECK;
int event_record_container(struct engine *engine, const struct container *c, const char *action, const char *extra,
			   struct err *err) MUST_CHECK;
/* Take over what monitors have noted in the mean time. */
int events_drain(struct engine *engine, struct err *err) MUST_CHECK;

struct event_row {
	int64_t seq, wall_ns;
	char *type, *action, *actor;
	struct strv attributes;
};
/* Those with a number above @after and a time in [since, until] (0: open). */
int events_read(struct engine *engine, int64_t after, int64_t since_ns, int64_t until_ns,
		int (*each)(const struct event_row *event, void *ctx), void *ctx, struct err *err) MUST_CHECK;
