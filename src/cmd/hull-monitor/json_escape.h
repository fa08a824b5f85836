/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a JSON string as Docker's json-file writes it. */
#pragma once

#include <stddef.h>

/* Escape @len bytes into @out, which has room for 6 * @len; returns the bytes
 * written. Bytes that are not UTF-8 become \ufffd; <, > and & become \u00xx. */
size_t json_escape(char *out, const char *text, size_t len);
