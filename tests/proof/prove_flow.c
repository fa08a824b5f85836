/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and credit: counters that wrap, clocks that jump. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "proof.h"
#include "rate_limiter.h"
#include "vsock_conn.h"

PROOF(rate_limiter)
{
	struct rate_limiter rl;
	struct rate_limits limits = { .bytes_per_s = pick_u64(), .burst_bytes = pick_u64() };
	int64_t now = (int64_t)(pick_u64() & INT64_MAX);
	rate_limiter_init(&rl, &limits, now);
	rate_limiter_charge(&rl, pick_u64());
	int64_t later = (int64_t)(pick_u64() & INT64_MAX);
	int64_t wait = rate_limiter_wait_ns(&rl, later);
	demand(wait >= 0);
	demand(rl.bytes.balance <= (int64_t)rl.bytes.burst);
	/* It keeps its word: after the wait one may go (unless that is past the end of time). */
	int64_t base = later > now ? later : now;
	if (wait > 0 && wait < INT64_MAX / 2 && base <= INT64_MAX - wait)
		demand(rate_limiter_wait_ns(&rl, base + wait) == 0);
	if (limits.bytes_per_s == 0)
		demand(wait == 0 && rate_limiter_bytes(&rl, later) == UINT64_MAX);
}

/* Never more on the way to the guest than it said it has room for. */
PROOF(credit)
{
	struct vsock_conn c = { .tx_cnt = pick_u32(), .peer_buf_alloc = pick_u32() };
	uint32_t on_the_way = pick_u32();
	c.peer_fwd_cnt = c.tx_cnt - on_the_way;
	uint32_t credit = vsock_conn_credit(&c);
	demand((uint64_t)credit + on_the_way <= c.peer_buf_alloc || credit == 0);
	demand(on_the_way < c.peer_buf_alloc || credit == 0);
	c.tx_cnt += credit;
	demand(vsock_conn_credit(&c) == 0 || on_the_way >= c.peer_buf_alloc);
}

/* The buffer of a connection: wherever it starts and however full it is, what goes in
 * comes out, and no more than there is room for goes in. The socket is shut. */
PROOF(buffer)
{
	static uint8_t memory[VSOCK_BUFFER_BYTES], data[VSOCK_BUFFER_BYTES + 1];
	static const uint32_t starts[] = { 0, 1, VSOCK_BUFFER_BYTES / 2, VSOCK_BUFFER_BYTES - 1 };
	static const uint32_t amounts[] = { 1, 2, VSOCK_BUFFER_BYTES / 2, VSOCK_BUFFER_BYTES - 1, VSOCK_BUFFER_BYTES };
	struct vsock_table t = { .buffers = memory };
	struct vsock_conn *c = &t.conns[0];
	c->source.fd = -1;
	c->out_start = starts[pick(4)];
	c->out_len = amounts[pick(5)]; /* not empty: then the socket is not tried */
	uint32_t len = amounts[pick(5)] + (uint32_t)pick(2), room = VSOCK_BUFFER_BYTES - c->out_len;
	uint32_t cut = (uint32_t)pick(2) * (len / 2);
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + 1);
	struct iovec iov[2] = { { data, cut }, { data + cut, len - cut } };
	uint32_t before = c->out_len;
	int r = vsock_conn_write(&t, c, iov, 2);
	demand(r == (len <= room ? 0 : -ENOBUFS));
	demand(c->out_len == (r == 0 ? before + len : before) && c->out_len <= VSOCK_BUFFER_BYTES);
	for (uint32_t i = 0; r == 0 && i < len; i += len / 8 + 1)
		demand(memory[(c->out_start + before + i) % VSOCK_BUFFER_BYTES] == (uint8_t)(i * 7 + 1));
}
