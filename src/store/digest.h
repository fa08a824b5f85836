/* SPDX-License-Identifier: Apache-2.0 */
/* "sha256:..." of documents. */
#pragma once

#include <stddef.h>

#define DIGEST_SIZE 72

/* Returns @out. */
const char *digest_of(const void *data, size_t len, char out[DIGEST_SIZE]);
