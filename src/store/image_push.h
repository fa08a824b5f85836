/* SPDX-License-Identifier: Apache-2.0 */
/* Sending an image to a registry: the blobs it lacks, from the compressed forms
 * that are kept, then the manifest, unchanged when it came from a registry. */
#pragma once

#include "fetch_proto.h"
#include "image_progress.h"
#include "image_store.h"
#include "reference.h"

struct image_push {
	const struct reference *reference; /* with a tag; the image has this name */
	const struct fetch_options *options;
	const volatile int *stop; /* as in image_pull.h */
	unsigned parallel;
};

struct image_pushed {
	char digest[72]; /* of the manifest */
	int64_t size;    /* its length */
};

/* Reports, per layer, Docker's words: "Preparing", "Pushing", "Pushed", "Layer
 * already exists", "Mounted from library/debian". -EINTR when stopped. */
int image_push(struct store *store, const struct image_push *push, const struct image_progress *progress,
	       struct image_pushed *ret, struct err *err) MUST_CHECK;
