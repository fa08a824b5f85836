/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends: as a stream of bytes, and (the first byte 'r') by a ring
 * whose positions it sets as it likes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_link.h"
#include "agent_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct agent_link link_;
static struct agent_sink sink;
static _Alignas(64) char memory[AGENT_RING_MEMORY];

static void frame(struct agent_link *l, const struct agent_frame *f, const char *payload)
{
	struct err err;
	/* Read all of it: a wrong length is the sanitizer's to see. */
	volatile unsigned sum = 0;
	for (uint32_t i = 0; i < f->len; i++)
		sum += (unsigned char)payload[i];
	(void)sum;
	if (f->len > AGENT_PAYLOAD_MAX || agent_frame_check(f) < 0)
		abort();
	if (f->type == AGENT_DATA)
		(void)!agent_sink_data(&sink, payload, f->len);
	if (f->type == AGENT_EOF)
		agent_sink_eof(&sink);
	if (f->type == AGENT_ERROR)
		agent_error_unpack(payload, f->len, &err);
}

static void gone(struct agent_link *l, int error)
{
	l->loop->is_quitting = true;
}

static void stop(void *ctx)
{
	((struct loop *)ctx)->is_quitting = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct loop loop;
	int pair[2], sock[2];
	bool by_ring = len && data[0] == 'r';
	if (len < 1 || len > 100000 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0)
		return 0;
	if (loop_init(&loop) < 0)
		abort();
	link_ = (struct agent_link){ .frame = frame, .gone = gone };
	sink = (struct agent_sink){ 0 };
	memset(memory, 0, sizeof(memory));
	if (by_ring && len > 1) {
		/* Control words of both ways, then the data that comes in. */
		size_t head = len - 1 < 512 ? len - 1 : 512;
		memcpy(memory, data + 1, head);
		memcpy(memory + 4096 + AGENT_RING_BYTES, data + 1 + head, len - 1 - head);
	}
	if ((by_ring ? agent_link_open_ring(&link_, &loop, pair[0], memory, true) : agent_link_open(&link_, &loop, pair[0])) < 0 ||
	    agent_sink_open(&sink, &link_, 1, AGENT_STDOUT, sock[0], false) < 0)
		abort();
	for (size_t done = 0; !by_ring && done < len - 1;) {
		ssize_t n = send(pair[1], data + 1 + done, len - 1 - done, MSG_DONTWAIT);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	shutdown(pair[1], SHUT_WR);
	struct loop_timer end = { .fire = stop, .ctx = &loop };
	loop_timer_set(&loop, &end, 50000000);
	(void)!loop_run(&loop);
	loop_timer_stop(&loop, &end);
	agent_sink_close(&sink);
	agent_link_close(&link_);
	loop_done(&loop);
	close(pair[1]);
	close(sock[1]);
	return 0;
}
