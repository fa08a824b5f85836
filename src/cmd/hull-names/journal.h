/* SPDX-License-Identifier: Apache-2.0 */
/* Questions that came by UDP and have no answer yet, in a file that outlives
 * the server: who comes after one that was killed answers them, so that no
 * client waits for its time-out.
 *
 * A server may be killed before it has answered what it found: that stays in the
 * file until then, in the last slots.
 *
 * It costs next to nothing: the kernel itself writes what arrives into the
 * mapped file, and a question that is forwarded is copied into a slot. Nothing
 * in it is trusted when it is read: clients wrote the questions. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "err.h"
#include "names_proto.h"

/* A longer question is malformed as far as we care: real ones, with padding, are
 * below 512 bytes. */
#define QUERY_MAX 1232
#define BATCH_MAX 64
#define FORWARDS_MAX 1024

struct journal_slot {
	uint32_t len; /* 0: free; written last */
	int64_t at_ns; /* CLOCK_MONOTONIC, when it came */
	char id[NAMES_ID_SIZE];
	struct sockaddr_in from;
	uint8_t data[QUERY_MAX];
};

struct journal {
	uint32_t magic, size;
	char batch_id[NAMES_ID_SIZE]; /* whose batch it is; "": nobody's */
	struct mmsghdr batch[BATCH_MAX]; /* msg_len: of a question not answered yet */
	struct sockaddr_in batch_from[BATCH_MAX];
	uint8_t batch_data[BATCH_MAX][QUERY_MAX];
	struct journal_slot forward[FORWARDS_MAX];
};

/* What was left by the server before. */
struct orphan {
	struct orphan *next;
	char id[NAMES_ID_SIZE];
	struct sockaddr_in from;
	size_t slot; /* of the file; FORWARDS_MAX: none */
	int64_t at_ns;
	uint32_t len;
	uint8_t data[];
};

struct journal_file {
	int fd; /* -1: kept in memory only, there being no room on the disk */
	struct journal *map;
	size_t slots; /* of map->forward, that have their room on the disk */
	size_t orphans_from; /* slots from here on are taken by what was found */
};

/* Map "names.journal" in @run_dirfd; *ret_orphans (freed one by one) is what was
 * found in it, and stays there until journal_answered(). */
int journal_open(int run_dirfd, struct journal_file *ret, struct orphan **ret_orphans) MUST_CHECK;
/* Write a question into slot @i, and free it. */
void journal_write(struct journal_file *j, size_t i, const char id[NAMES_ID_SIZE], const struct sockaddr_in *from, const uint8_t *data, size_t len);
void journal_free(struct journal_file *j, size_t i);
void journal_answered(struct journal_file *j, const struct orphan *orphan);
