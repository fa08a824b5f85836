/* SPDX-License-Identifier: Apache-2.0 */
/* Traffic rates of links by rtnetlink (tc(8), linux/pkt_sched.h). A rate is in bits
 * a second. All return 0 or a negative errno; -ENOENT or -EOPNOTSUPP when the
 * kernel lacks a part. */
#pragma once

#include <stdint.h>

#include "netlink.h"

/* An intermediate functional block (IFB), up: what is sent to it comes out where it
 * was taken from. */
int tc_add_block(int sock, const char *name) MUST_CHECK;
/* What leaves by the link @index is held to @rate by a token bucket; changes the
 * rate of one that is there. */
int tc_limit(int sock, int index, uint64_t rate) MUST_CHECK;
/* 0 also when there is no limit. */
int tc_unlimit(int sock, int index) MUST_CHECK;
/* What comes in by the link @index leaves by @to (an intermediate functional
 * block), whose limit is then one of what comes in. Any number of times. */
int tc_redirect_incoming(int sock, int index, int to) MUST_CHECK;
int tc_stop_redirect(int sock, int index) MUST_CHECK;
/* The rate that is in force on the link; *ret 0: none. */
int tc_get_limit(int sock, int index, uint64_t *ret) MUST_CHECK;
