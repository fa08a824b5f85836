/* SPDX-License-Identifier: Apache-2.0 */
/* The key sequence that leaves a terminal session. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define DETACH_KEYS_MAX 16

/* "ctrl-p,ctrl-q", "a", "ctrl-@"... into the bytes to look for; "" gives none. */
int detach_keys_parse(const char *text, unsigned char ret_keys[DETACH_KEYS_MAX], size_t *ret_n, struct err *err) MUST_CHECK;

/* Whether it can be parsed; NULL: nothing to parse. */
int detach_keys_check(const char *text, struct err *err) MUST_CHECK;

struct detach_matcher {
	unsigned char keys[DETACH_KEYS_MAX];
	size_t n;    /* 0: never matches */
	size_t seen; /* of the sequence, held back */
};

/* Pass @len bytes on to @out (room for @len + DETACH_KEYS_MAX), holding back what
 * may become the sequence; a broken-off start of it is passed on after all.
 * Returns the bytes in @out; *ret_detach is set when the sequence is complete. */
size_t detach_keys_feed(struct detach_matcher *m, const char *in, size_t len, char *out, size_t size, bool *ret_detach);
