/* SPDX-License-Identifier: Apache-2.0 */
/* Names of containers for each other: what the engine tells the name server
 * (name_record.h, names_proto.h). Networks that users make have names; the
 * default network has none, as with Docker.
 *
 * A container's record is a file of its own that is named after it: it is written
 * when the container is about to start and when its networks or its name change,
 * and goes with what a run holds. */
#pragma once

#include "runtime_spec.h"
#include "state.h"

/* Do these networks have names? */
bool name_service_is_wanted(const struct container_config *config, const struct spec_interface *interfaces, size_t n);
/* Write the record of @c (with its configuration) as its active endpoints say, once
 * they are committed. None for one that is in no network with names, and was in
 * none since it started. */
int name_service_publish(struct engine *engine, const struct container *c, struct err *err) MUST_CHECK;
/* Idempotent. */
int name_service_forget(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* A running container is in @network now (its endpoint is committed): its record,
 * and, if that is its first network with names, sockets in its network namespace
 * @netns, which its monitor keeps, and a resolv.conf that leads there. */
int name_service_connected(struct engine *engine, const struct container *c, const char *network, int netns,
			   struct err *err) MUST_CHECK;
/* The program; allocated. */
char *name_service_program(const struct engine *engine);
