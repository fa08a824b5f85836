/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an image from a registry.
 *
 * hull-fetch gets the manifest and the configuration, then each layer that is
 * missing goes through one pipe from hull-fetch to a hull-unpack of its own:
 * download, both digests, decompression and the writing of the layer's file are
 * one pass. What was downloaded when a pull ends early is kept (partial.h). */
#pragma once

#include "fetch_proto.h"
#include "image_progress.h"
#include "image_store.h"
#include "reference.h"

struct image_pull {
	const struct reference *reference; /* with a tag or a digest */
	/* "os/arch[/variant]", NULL: this machine. */
	const char *platform;
	const struct fetch_options *options; /* NULL: none */
	/* Set (by a signal) when the pull shall end; NULL: never. */
	const volatile int *stop;
	/* Layers at once; 0: a good number. */
	unsigned parallel;
};

struct image_pulled {
	char id[72];
	/* Of the manifest or index that the reference names. */
	char digest[72];
	/* The name pointed elsewhere, or nowhere, before. */
	bool is_new;
};

/* The image can be used at once; its layers may not be on disk yet: let
 * store_settle() run afterwards, by itself (settle.h). Reports, per layer, Docker's words: "Pulling fs layer", "Already exists",
 * "Downloading", "Retrying in 1 second", "Download complete", "Pull complete".
 * Errors are Docker's where it has words for them; -EINTR when stopped. */
int image_pull(struct store *store, const struct image_pull *pull, const struct image_progress *progress,
	       struct image_pulled *ret, struct err *err) MUST_CHECK;
/* Of a registry that answered @status (0: it did not) what Docker says, in place of
 * @err; returns @r. */
int image_pull_explain(const struct reference *ref, int64_t status, int r, struct err *err);
