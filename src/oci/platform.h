/* SPDX-License-Identifier: Apache-2.0 */
/* "linux/arm64/v8": which of an index's images to take. */
#pragma once

#include "json.h"

/* This machine's, in Go's words: "amd64", "arm64"; and its variant or "". */
const char *platform_architecture(void);

/* The best descriptor of @manifests (an index's list) for @wanted
 * ("os/arch[/variant]", NULL: this machine), or NULL. Attestations ("unknown")
 * are never taken; a lone descriptor without a platform always. */
const struct json *platform_choose(const struct json *manifests, const char *wanted);
/* Whether an image of that os, architecture and variant (any may be NULL) is what
 * @wanted names; NULL and "" name any. */
bool platform_fits(const char *wanted, const char *os, const char *architecture, const char *variant);
