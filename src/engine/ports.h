/* SPDX-License-Identifier: Apache-2.0 */
/* The ports of the host that lead to a container: which it has, their change
 * while it runs, and their release.
 *
 * A row of `ports` comes before its elements in the firewall and goes after them.
 * host_ip is '' for every address of both families, '0.0.0.0' or '::' for those of
 * one; address4 and address6 are where it leads. While a change is under way the
 * rows are marked as pending; who dies then is undone by ports_recover(). */
#pragma once

#include "image_config.h"
#include "runtime_spec.h"
#include "state.h"

/* A container's addresses, without prefix; NULL or "" is none. */
struct port_target {
	const char *address4, *address6;
};

/* Inside the transaction of a start: reserve the ports that @c publishes, with
 * those of @image for -P, and add them to @spec. */
int ports_reserve(struct engine *engine, struct container *c, const struct image_config *image, const struct port_target *target,
		  struct runtime_spec *spec, struct err *err) MUST_CHECK;
/* Take them back, on the host too. Idempotent. */
int ports_release(struct engine *engine, const char *id, struct err *err) MUST_CHECK;

/* The ports of a row: at most two a family, what the kernel redirects and what it
 * cannot; returns how many. The columns are protocol,
 * host_ip, host_port, container_port, address4, address6, from @column on. */
#define PORTS_COLUMNS "protocol, host_ip, host_port, container_port, address4, address6"
#define PORTS_PER_ROW 4
size_t ports_of_row(struct db_stmt *row, int column, struct spec_port ret[PORTS_PER_ROW]);

/* Whatever a row may have stood for, wherever the container was reached: to be taken
 * back; where they lead to is of no meaning. */
#define PORTS_EVER_PER_ROW (3 * PORTS_PER_ROW)
size_t ports_ever_of_row(struct db_stmt *row, int column, struct spec_port ret[PORTS_EVER_PER_ROW]);

/* ---- while it runs (ports_live.c) ---- */

/* A removal names a container port, and with a host port or address only what is
 * published there. */
struct port_changes {
	const struct port_binding *add, *remove;
	size_t add_n, remove_n;
};
/* Change @c's configuration, and what leads to it if it runs; the caller has its
 * lock. Follow with ports_settle() in the transaction that records the
 * configuration, or with ports_undo(). Nothing is changed on failure. */
int ports_change(struct engine *engine, struct container *c, const struct port_changes *changes, struct err *err) MUST_CHECK;
int ports_settle(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
int ports_undo(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* Undo the changes of those who died; cheap when there are none. */
int ports_recover(struct engine *engine, struct err *err) MUST_CHECK;

/* ---- when something around it changes (ports_follow.c) ---- */

/* @c, with its configuration, was connected to a network or disconnected from one:
 * what it publishes leads to where it is reached now, or nowhere. Repeatable; with
 * @is_half_done after somebody who died, or failed, on the way. */
int ports_follow(struct engine *engine, struct container *c, bool is_half_done, struct err *err) MUST_CHECK;
/* The firewall's table was lost, with all that is published: publish it again. */
int ports_restore(struct engine *engine, struct err *err) MUST_CHECK;

/* ---- for the files ---- */
int ports_reserve_one(struct engine *engine, const char *id, const struct port_binding *b, const struct port_target *target,
		      struct spec_port ret[PORTS_PER_ROW], size_t *ret_n, struct err *err) MUST_CHECK;
/* Have the monitor of @id, if there is one, serve what of @add the kernel cannot
 * redirect, and what of @remove no longer (ports_proxy.c). Repeatable. */
int ports_proxy_change(struct engine *engine, const char *id, const struct spec_port *remove, size_t remove_n,
		       const struct spec_port *add, size_t add_n, struct err *err) MUST_CHECK;
