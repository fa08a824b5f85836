/* SPDX-License-Identifier: Apache-2.0 */
/* The resolv.conf of a workload, made from the host's. */
#pragma once

#include "buf.h"
#include "str.h"

/* Rewrite @host (the text of the host's resolv.conf): name servers on the
 * host's loopback are not reachable from a workload and are dropped; given
 * servers, search domains and options replace the host's. Returns the number of
 * name servers written, or a negative errno. */
int resolv_conf_make(const char *host, const struct strv *servers, const struct strv *search,
		     const struct strv *options, struct buf *out) MUST_CHECK;
/* The same for a workload with a name server of its own at @local, which asks the
 * others: it is the first, and what is left are given servers on the workload's
 * own loopback. "ndots:0" unless somebody chose. */
int resolv_conf_make_local(const char *host, const char *local, const struct strv *servers, const struct strv *search,
			   const struct strv *options, struct buf *out) MUST_CHECK;
bool resolv_conf_is_loopback(const char *server);
/* The host's text: /etc/resolv.conf, or systemd-resolved's own list when that
 * names only its stub on the loopback. Empty when the host has none. */
int resolv_conf_read_host(struct buf *out) MUST_CHECK;
