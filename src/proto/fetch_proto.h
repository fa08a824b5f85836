/* SPDX-License-Identifier: Apache-2.0 */
/* How hull talks to hull-fetch, the registry client.
 *
 *   hull-fetch                       one registry, then exit
 *     fd 0  a SOCK_SEQPACKET socket: each message is one JSON object and a
 *           newline, at most FETCH_MESSAGE_MAX bytes, with descriptors attached
 *     fd 2  nothing, or what made the program die
 *
 * hull sends one "open" (struct fetch_open), then requests with numbers of its
 * own (struct fetch_request). They run beside each other; each is answered by
 * any number of "progress" events and one "done" or "failed" (struct
 * fetch_event). The end of the socket ends the program and all it does.
 *
 * Documents and blobs never travel in messages but through the descriptors:
 *   FETCH_CHECK          none
 *   FETCH_MANIFEST       [0] a file that gets the document
 *   FETCH_BLOB           [0] a pipe or file that gets the bytes; [1], if there,
 *                        a file that holds the first @offset of them already:
 *                        these are copied from it
 *   FETCH_PUSH_BLOB      [0] a file, read from its start
 *   FETCH_PUSH_MANIFEST  [0] a file, read from its start
 *   FETCH_TAGS           [0] a file that gets the tags, a line each
 *
 * hull-fetch bounds what it takes by @size and, with @is_verified, checks the
 * digest; who reads a pipe must check it all the same. What hull-fetch says is
 * foreign: it has talked to strangers. The readers here refuse whatever is not
 * in form, and bound every text. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "str.h"

#define FETCH_PROGRAM "hull-fetch"
#define FETCH_MESSAGE_MAX (64u * 1024)
#define FETCH_FDS_MAX 2
/* The longest manifest that is taken; what registries themselves allow. */
#define FETCH_MANIFEST_MAX (4u << 20)

/* How to reach a registry: filled from settings and credentials by whoever
 * starts the worker. Zeroed means: no mirror, no credentials, TLS. */
struct fetch_options {
	/* Tried in order before the registry itself, when pulling: "https://host[:port][/path]". */
	struct strv mirrors;
	/* "host[:port]" of registries and mirrors that may speak plain HTTP or have a
	 * certificate that nobody signed; "host" names all its ports. */
	struct strv insecure;
	/* Log-in at the registry; NULL: none. The identity token is used instead
	 * of the password where there is one. */
	char *username, *password, *identity_token;
	/* Sent as it is. */
	char *registry_token;
	/* NULL: /etc/docker/certs.d. */
	char *certs_dir;
	/* 0: 30 s without progress, 5 tries. */
	int64_t stall_ms, tries;
};
void fetch_options_done(struct fetch_options *o);
#define CLEANUP_FETCH_OPTIONS CLEANUP(fetch_options_done)

struct fetch_open {
	/* As in the reference: "docker.io", "localhost:5000". */
	char *registry;
	struct fetch_options options;
};
void fetch_open_done(struct fetch_open *o);
#define CLEANUP_FETCH_OPEN CLEANUP(fetch_open_done)

enum fetch_op {
	FETCH_CHECK, /* is the registry there, and does it take the log-in */
	FETCH_MANIFEST,
	FETCH_BLOB,
	FETCH_PUSH_BLOB,
	FETCH_PUSH_MANIFEST,
	FETCH_TAGS, /* all of a repository */
	FETCH_OP_COUNT
};

struct fetch_request {
	uint64_t id;
	enum fetch_op op;
	/* "library/debian" */
	char *repository;
	/* Manifests: a tag or a digest. */
	char *reference;
	/* Blobs. */
	char *digest;
	/* Of the blob, or the most a manifest may have. */
	int64_t size;
	/* FETCH_BLOB: how much is there already. */
	int64_t offset;
	/* FETCH_PUSH_MANIFEST: its type. */
	char *media_type;
	/* FETCH_PUSH_BLOB: a repository of this registry that has it, or NULL. */
	char *mount_from;
	/* FETCH_BLOB: check the digest before "done". */
	bool is_verified;
	/* Ask the registry itself only: a mirror gave something wrong. */
	bool is_origin_only;
	/* This session also pushes: ask for the right to at once. */
	bool wants_push;
};
void fetch_request_done(struct fetch_request *r);
#define CLEANUP_FETCH_REQUEST CLEANUP(fetch_request_done)

enum fetch_event_kind { FETCH_PROGRESS, FETCH_RETRY, FETCH_DONE, FETCH_FAILED, FETCH_EVENT_COUNT };
/* What became of a pushed blob. */
enum fetch_result { FETCH_RESULT_NONE, FETCH_EXISTS, FETCH_MOUNTED, FETCH_PUSHED, FETCH_RESULT_COUNT };

struct fetch_event {
	uint64_t id;
	enum fetch_event_kind kind;
	/* FETCH_PROGRESS: so far, with what was there before. */
	int64_t bytes;
	/* FETCH_RETRY: in how long the next try is made, and why. */
	int64_t delay_ms;
	/* FETCH_DONE */
	enum fetch_result result;
	char digest[72];     /* of a manifest's bytes */
	char media_type[160]; /* Content-Type of a manifest */
	/* FETCH_CHECK: kept instead of the password when the registry gave one. */
	char *identity_token;
	/* FETCH_FAILED, FETCH_RETRY */
	struct err err;
	/* FETCH_FAILED: the HTTP status, 0 when there was none. */
	int64_t status;
	/* FETCH_FAILED: the reader of the pipe went away. */
	bool is_unread;
};
void fetch_event_done(struct fetch_event *e);
#define CLEANUP_FETCH_EVENT CLEANUP(fetch_event_done)

/* Append the message. 0, or a negative errno (-E2BIG). */
int fetch_open_write(const struct fetch_open *o, struct buf *out) MUST_CHECK;
int fetch_request_write(const struct fetch_request *r, struct buf *out) MUST_CHECK;
int fetch_event_write(const struct fetch_event *e, struct buf *out) MUST_CHECK;

/* The inverse; strict. On success the caller owns the parts of *ret. */
int fetch_open_parse(const char *text, size_t len, struct fetch_open *ret, struct err *err) MUST_CHECK;
int fetch_request_parse(const char *text, size_t len, struct fetch_request *ret, struct err *err) MUST_CHECK;
int fetch_event_parse(const char *text, size_t len, struct fetch_event *ret, struct err *err) MUST_CHECK;
