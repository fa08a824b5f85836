/* SPDX-License-Identifier: Apache-2.0 */
/* The state of hull-names, shared by its files; nothing outside this folder sees
 * it.
 *
 *   main.c       start-up
 *   confine.c    what is given up before the first question is read
 *   serve.c      conversations (names_proto.h), records that change, the end
 *   door.c       a container's sockets
 *   stream.c     DNS over TCP, from containers and from whoever relays
 *   answer.c     what is answered here...
 *   directory.c  ...from the records
 *   forward.c    what others are asked...
 *   resolvers.c  ...and who they are
 *   cache.c      ...and what they said
 *   journal.c    what is under way, for whoever comes after us
 *   admit.c      what opens the firewall for names
 *
 * One thread, which never waits for anybody. Everything that a container can
 * make it hold is bounded, for each container and for all. */
#pragma once

#include "admit.h"
#include "answer.h"
#include "buf.h"
#include "cache.h"
#include "directory.h"
#include "event_loop.h"
#include "journal.h"
#include "resolvers.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

/* A message by TCP may be longer than one by UDP; no question is. */
#define STREAM_QUERY_MAX 4096
#define STREAMS_PER_CONTAINER 32
#define STREAMS_MAX 1024
#define FORWARDS_PER_CONTAINER 128

struct server;

struct door {
	struct server *s;
	struct container *c;
	struct loop_source conversation, udp, tcp;
	struct door *next;
};

struct stream {
	struct server *s;
	struct container *c;
	struct door *door; /* NULL: of a conversation */
	struct loop_source source;
	struct loop_timer idle;
	uint8_t *in; /* 2 + STREAM_QUERY_MAX */
	size_t in_len;
	struct buf out;
	unsigned forwards; /* not answered yet */
	bool is_ended;     /* nothing more comes in */
	bool is_broken;    /* and nothing goes out: to be closed */
	struct stream *next;
};

struct forward {
	bool in_use;
	struct server *s;
	struct container *c;
	/* Who is to be told: the stream, or the address at the door. */
	struct stream *stream;
	struct door *door;
	struct sockaddr_in from;
	struct dns_message m;
	uint8_t *query;
	size_t len;
	struct resolvers resolvers;
	size_t current;       /* of resolvers */
	unsigned has_failed;  /* bit i: resolver i refused, or could not */
	enum dns_rcode worst; /* what the last of them said */
	int64_t deadline_ns;
	uint16_t id;
	uint32_t serial; /* of all that were in this place */
	bool by_tcp;
	bool is_held; /* its answer, of io_len bytes in io, waits for admit.h */
	struct loop_source source;
	struct loop_timer timer;
	/* By TCP: the question until it is written, then the answer, each behind its
	 * length. */
	uint8_t *io;
	size_t io_len, io_done;
	bool is_reading;
	struct forward *next_free;
};

struct server {
	struct loop loop;
	struct directory directory;
	struct host_resolvers host;
	struct cache cache;
	struct journal_file journal;
	struct orphan *orphans;
	struct loop_source listener, records, admit;
	struct loop_timer linger;
	struct door *doors;
	struct stream *streams;
	size_t streams_n, conversations_n;
	struct forward forward[FORWARDS_MAX];
	struct forward *free_forward;
	uint32_t serial;
	size_t forwards_used; /* so many of them were in use at once */
	struct iovec batch_iov[BATCH_MAX], out_iov[BATCH_MAX];
	struct mmsghdr out[BATCH_MAX];
	uint8_t out_data[BATCH_MAX][QUERY_MAX];
	uint8_t scratch[2 + 65535];
};

/* serve.c. With s->loop and s->journal there. */
int serve_start(struct server *s, int listener, int inotify, int names_dirfd, int admit) MUST_CHECK;
/* Records that changed since; before anything is answered from them. */
void serve_look_at_records(struct server *s);
/* A conversation has ended: is there still a reason to live? */
void serve_conversation_gone(struct server *s);

/* door.c */
int door_open(struct server *s, int conversation, const char *id, int udp, int tcp) MUST_CHECK;
/* Any answer to somebody behind it. */
void door_reply(struct door *door, const struct sockaddr_in *to, const uint8_t *data, size_t len);

/* stream.c. Takes @fd in any case. */
void stream_open(struct server *s, struct door *door, const char *id, int fd);
void stream_close(struct stream *stream);
void stream_reply(struct stream *stream, const uint8_t *data, size_t len);

/* forward.c */
/* Ask others. When that cannot be, the answer says so at once. */
void forward_start(struct server *s, struct container *c, struct door *door, const struct sockaddr_in *from,
		   struct stream *stream, const uint8_t *query, size_t len, const struct dns_message *m);
/* Those whose answer nobody waits for any more. */
void forward_cancel(struct server *s, const struct door *door, const struct stream *stream);

/* The addresses that are the answer to the forward that had @serial here are
 * open, or cannot be opened. */
void forward_admitted(struct forward *f, uint32_t serial, bool is_ok);
