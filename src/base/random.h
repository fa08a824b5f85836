/* SPDX-License-Identifier: Apache-2.0 */
/* Random identifiers from the kernel. */
#pragma once

#include <stddef.h>

/* Fill @out; blocks only before the kernel's pool is ready; aborts if the
 * system has no getrandom (it is in every kernel hull supports). */
void random_bytes(void *out, size_t len);
/* @chars lower-case hex digits and a NUL. */
void random_hex(char *out, size_t chars);
