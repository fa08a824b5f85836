/* SPDX-License-Identifier: Apache-2.0 */
/* cp's side in the container: a process that sees nothing but the container's files
 * looks up the path, and writes or reads the archive. How it got there (into a
 * mount namespace, into a guest) is not its affair. */
#pragma once

#include <limits.h>

#include "copy_path.h"

/* What the two sides tell each other, both ways: first what is copied, or whether
 * it can go where it should; then how it went. */
struct copy_message {
	struct err err;
	struct copy_subject subject;
	uint64_t bytes;
};

/* Plain data: it may go to another machine. */
struct copy_order {
	bool sends;        /* out of the container; else into it */
	bool follows_link; /* of the source */
	bool keeps_owners; /* else root's */
	bool is_archive;   /* the archive is the user's: names in it are kept */
	char path[PATH_MAX];
};

int copy_message_send(int control, const struct copy_message *m, struct err *err) MUST_CHECK;
/* An error that was sent is ours now. */
int copy_message_receive(int control, struct copy_message *m, struct err *err) MUST_CHECK;
/* Name in the archive of what is copied. */
const char *copy_name_in_archive(const struct copy_subject *subject, bool is_archive);

/* Do @order in this process, whose root is the container's: @control and @data are
 * the other side's, @fds_dir layer_export_fds_dir()'s. Says its last word, an
 * error too. */
void copy_worker_run(const struct copy_order *order, int control, int data, int fds_dir);
/* The last word of one that could not begin. */
void copy_worker_failed(int control, const struct err *err);
