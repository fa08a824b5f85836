/* SPDX-License-Identifier: Apache-2.0 */
/* Image references as users write them and as they are stored.
 *
 * "debian" is "docker.io/library/debian:latest": the registry is what stands
 * before the first slash when it has a dot or a colon or is "localhost". Pure
 * text; the grammar is that of the OCI distribution specification. */
#pragma once

#include <stdbool.h>

#include "cleanup.h"
#include "err.h"

struct reference {
	/* "docker.io", "localhost:5000" */
	char *registry;
	/* "library/debian" */
	char *repository;
	/* "12"; NULL when only a digest is given. */
	char *tag;
	/* "sha256:<64 hex>"; NULL when none is given. */
	char *digest;
};

/* Parse what a user wrote. Without a tag and a digest the tag is "latest" if
 * @default_tag, else NULL. ERR_INVALID in Docker's words otherwise. */
int reference_parse(const char *s, bool default_tag, struct reference *ret, struct err *err) MUST_CHECK;
void reference_done(struct reference *ref);
#define CLEANUP_REFERENCE CLEANUP(reference_done)

/* The stored name, allocated: "docker.io/library/debian:12", or with "@digest"
 * instead of the tag when there is no tag. */
char *reference_full(const struct reference *ref);
/* "docker.io/library/debian", allocated. */
char *reference_name(const struct reference *ref);
/* What users see of a stored name or of a repository's: without
 * "docker.io/library/" and "docker.io/"; points into @full. */
const char *reference_familiar(const char *full);
/* Where the tag or "@digest" of a stored reference begins (at ':' or '@'), or
 * the terminating NUL. */
const char *reference_suffix(const char *full);

/* A letter, digit or underscore, then up to 127 of these, dots and hyphens. */
bool reference_tag_is_valid(const char *s);

/* "sha256:" or "sha512:" with the right number of lower-case hex digits. */
bool digest_is_valid(const char *s);
/* The hex digits of a valid digest. */
const char *digest_hex(const char *digest);
