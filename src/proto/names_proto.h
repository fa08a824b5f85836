/* SPDX-License-Identifier: Apache-2.0 */
/* How a container gets a name server: hull-names, one for all of them, listens
 * at $HULL_RUN/names.sock (a stream, 0600). A conversation begins with one
 * struct names_hello:
 *
 *   NAMES_REGISTER id, with two descriptors: a UDP socket and a listening TCP
 *       socket bound in the container's network namespace. The server answers
 *       what arrives there with the names that container ID may know
 *       (name_record.h), says one byte once it does, and goes on until the
 *       conversation is closed. The sender keeps duplicates: should the server
 *       die, which closes the conversation, questions wait in the sockets, and
 *       the sender registers them with the next server (hull-monitor does).
 *
 *   NAMES_RESOLVE id: what follows is DNS over TCP (RFC 7766): messages in both
 *       directions, each behind its length in two bytes, answers in any order.
 *       For whoever has sockets of its own, as a guest's agent that answers at
 *       the guest's 127.0.0.11.
 *
 * The server is there while somebody is registered or resolves; who finds none
 * starts one (names_spawn()). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

#define NAMES_SOCKET "names.sock"
#define NAMES_DIR "names"
/* Where a container finds it. */
#define NAMES_ADDRESS "127.0.0.11"
#define NAMES_MAGIC 0x6e6c7568u /* "huln" */
#define NAMES_ID_SIZE 65

enum names_type { NAMES_REGISTER = 1, NAMES_RESOLVE = 2 };

struct names_hello {
	uint32_t magic;
	uint32_t type;
	char id[NAMES_ID_SIZE];
	char pad[7];
};

/* Connect to the server below @run_dirfd ($HULL_RUN), without blocking.
 * -ENOENT or -ECONNREFUSED: there is none; -EAGAIN: it is very busy. */
int names_connect(int run_dirfd, int *ret_sock) MUST_CHECK;
/* Say what this conversation is about. @fds: the two sockets, or NULL. */
int names_hello(int sock, enum names_type type, const char *id, const int fds[2]) MUST_CHECK;
#define NAMES_LOCK "names.lock"
/* Start the program @path for @run_dirfd. -EWOULDBLOCK: another serves, or is about
 * to, or has not quite ended: then it is connected to, or tried again. *ret_pid is
 * the caller's to reap: the server itself is nobody's child.
 *
 * The server's lock is taken here and handed to it (as descriptor NAMES_LOCK_FD,
 * with --locked): of many who lost their server at once, one starts the next. */
#define NAMES_LOCK_FD 3
int names_spawn(int run_dirfd, const char *path, pid_t *ret_pid) MUST_CHECK;
