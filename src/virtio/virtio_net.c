/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: frames go between tap and guest memory without a copy, by one readv()
 * or writev() each. To receive, buffers are gathered from the queue until the longest
 * possible frame fits, because how long the next one is cannot be known before; those
 * that were not needed are put back. */
#include "virtio_net.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "chain_io.h"
#include "cleanup.h"
#include "clock.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL, QUEUES };

#define QUEUE_SIZE    256
#define IOV_N         (QUEUE_SIZE + GUEST_REGIONS_MAX)
#define RX_IOV_N      1024 /* what readv() takes */
#define HEADER_BYTES  ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define LONGEST_FRAME (65535u + ETH_HLEN + 8u) /* with VLAN tags */

static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "the header of VIRTIO_F_VERSION_1");

struct rx_buffer {
	uint16_t head;
	uint16_t first, n; /* of the pieces */
	uint32_t bytes;
};

struct virtio_net {
	struct virtio_device dev; /* first */
	struct virtio_net_config config;
	struct loop_source tap;
	unsigned offloads;
	uint8_t mac[6];
	struct rate_limiter to_guest, from_guest;
	struct loop_timer rx_timer, tx_timer;
	struct virtio_net_counters counters;
	bool has_rx_room;
	/* Used only within receive(). */
	struct rx_buffer rx[QUEUE_SIZE];
	struct iovec rx_iov[RX_IOV_N];
};

static void watch(struct virtio_net *net)
{
	bool wants = virtio_device_is_live(&net->dev) && net->has_rx_room && !net->rx_timer.is_set;
	if (loop_watch(net->dev.loop, &net->tap, wants ? EPOLLIN : 0) < 0)
		virtio_device_fail(&net->dev);
}

/* ---- to the guest ---- */

static bool has(const struct virtio_net *net, unsigned feature)
{
	return virtio_device_has(&net->dev, feature);
}

/* Room for whatever the tap may hand out next. */
static uint32_t bytes_needed(const struct virtio_net *net)
{
	if (has(net, VIRTIO_NET_F_GUEST_TSO4) || has(net, VIRTIO_NET_F_GUEST_TSO6))
		return HEADER_BYTES + LONGEST_FRAME;
	uint32_t mtu = le16toh(net->config.mtu);
	return HEADER_BYTES + (mtu > ETH_DATA_LEN ? mtu : ETH_DATA_LEN) + ETH_HLEN + 8;
}

/* Buffers in hand: rx[first .. n). */
struct gathered {
	unsigned first, n;
	unsigned iov_end;
	uint32_t bytes;
};

static void compact(struct virtio_net *net, struct gathered *g)
{
	unsigned skip = g->first < g->n ? net->rx[g->first].first : g->iov_end;
	if (g->first == 0)
		return;
	memmove(net->rx_iov, net->rx_iov + skip, (g->iov_end - skip) * sizeof(net->rx_iov[0]));
	memmove(net->rx, net->rx + g->first, (g->n - g->first) * sizeof(net->rx[0]));
	g->n -= g->first;
	g->first = 0;
	g->iov_end -= skip;
	for (unsigned i = 0; i < g->n; i++)
		net->rx[i].first = (uint16_t)(net->rx[i].first - skip);
}

/* Get together what one frame needs. False: there is not enough. */
static bool gather(struct virtio_net *net, struct gathered *g)
{
	uint32_t needed = bytes_needed(net);
	bool merges = has(net, VIRTIO_NET_F_MRG_RXBUF);
	uint16_t size = net->dev.queues[QUEUE_RX].size;
	while (merges ? g->bytes < needed : g->first == g->n) {
		if (g->n == QUEUE_SIZE || g->iov_end + IOV_N > RX_IOV_N)
			compact(net, g);
		/* All that the driver can give: then a longer frame is cut. */
		if (g->n - g->first >= size || g->iov_end + IOV_N > RX_IOV_N)
			break;
		struct virtq_chain chain = { .iov = net->rx_iov + g->iov_end, .iov_max = IOV_N };
		if (virtio_queue_pop(&net->dev, QUEUE_RX, &chain) != 1)
			return false;
		/* The header is not split over buffers (5.1.6.3.2). */
		if (chain.n_read > 0 || chain.write_bytes < HEADER_BYTES) {
			virtio_device_fail(&net->dev);
			return false;
		}
		net->rx[g->n++] = (struct rx_buffer){
			.head = chain.head, .first = (uint16_t)g->iov_end, .n = (uint16_t)chain.n_write,
			.bytes = chain.write_bytes
		};
		g->iov_end += chain.n_write;
		g->bytes += chain.write_bytes;
	}
	return g->first < g->n;
}

/* A frame of @len bytes, header included, is in the buffers: hand them over. */
static void deliver(struct virtio_net *net, struct gathered *g, uint32_t len)
{
	struct rx_buffer *first = &net->rx[g->first];
	struct virtq_chain chain = { .iov = net->rx_iov + first->first, .n_write = first->n };
	uint16_t n = 0;
	net->counters.rx_frames++;
	net->counters.rx_bytes += len - HEADER_BYTES;
	while (len > 0 && g->first < g->n) {
		struct rx_buffer *b = &net->rx[g->first++];
		uint32_t here = len < b->bytes ? len : b->bytes;
		virtq_push(&net->dev.queues[QUEUE_RX], b->head, here);
		g->bytes -= b->bytes;
		len -= here;
		n++;
	}
	n = htole16(n);
	chain_write(&chain, offsetof(struct virtio_net_hdr_v1, num_buffers), &n, sizeof(n));
}

static void receive(struct virtio_net *net)
{
	struct gathered g = { 0 };
	struct virtq *q = &net->dev.queues[QUEUE_RX];
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		int64_t wait_ns = rate_limiter_wait_ns(&net->to_guest, clock_mono_ns());
		if (wait_ns > 0) {
			loop_timer_set(net->dev.loop, &net->rx_timer, wait_ns);
			break;
		}
		if (!gather(net, &g)) {
			if (!virtio_device_is_live(&net->dev))
				return;
			/* The next buffers bring a kick, unless they are there already. */
			net->has_rx_room = virtq_enable_kicks(q);
			break;
		}
		unsigned from = net->rx[g.first].first;
		bool merges = has(net, VIRTIO_NET_F_MRG_RXBUF);
		unsigned pieces = merges ? g.iov_end - from : net->rx[g.first].n;
		ssize_t len = readv(net->tap.fd, net->rx_iov + from, (int)pieces);
		if (len < (ssize_t)HEADER_BYTES) {
			/* A tap that is gone stays readable for ever. */
			if (len >= 0 || (errno != EAGAIN && errno != EINTR))
				net->has_rx_room = false;
			break;
		}
		deliver(net, &g, (uint32_t)len);
		rate_limiter_charge(&net->to_guest, (uint64_t)len);
	}
	virtq_unpop(q, (uint16_t)(g.n - g.first));
	virtio_queue_flush(&net->dev, QUEUE_RX);
}

static void tap_ready(void *ctx, uint32_t events)
{
	struct virtio_net *net = ctx;
	receive(net);
	watch(net);
}

/* ---- from the guest ---- */

/* What the guest asks the host's kernel to do to the frame must have been agreed on. */
static bool is_header_fine(const struct virtio_net *net, const struct virtio_net_hdr_v1 *h)
{
	if (h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return false;
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !has(net, VIRTIO_NET_F_CSUM))
		return false;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return !(h->gso_type & VIRTIO_NET_HDR_GSO_ECN);
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return has(net, VIRTIO_NET_F_HOST_TSO4) && (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return has(net, VIRTIO_NET_F_HOST_TSO6) && (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	default:
		return false;
	}
}

static int64_t transmit(struct virtio_net *net, struct virtq_chain *chain)
{
	struct virtio_net_hdr_v1 header;
	struct iovec iov[IOV_N + 1];
	if (chain_read(chain, 0, &header, HEADER_BYTES) != HEADER_BYTES)
		return -EPROTO;
	uint32_t len = chain->read_bytes - HEADER_BYTES;
	rate_limiter_charge(&net->from_guest, chain->read_bytes);
	if (len < ETH_HLEN || len > LONGEST_FRAME || !is_header_fine(net, &header)) {
		net->counters.tx_dropped++;
		return 0;
	}
	/* The copy that was checked, not the guest's. */
	header.num_buffers = 0;
	iov[0] = (struct iovec){ .iov_base = &header, .iov_len = HEADER_BYTES };
	memcpy(iov + 1, chain->iov, chain->n_read * sizeof(iov[0]));
	unsigned n = iov_slice(iov + 1, chain->n_read, HEADER_BYTES, len);
	if (writev(net->tap.fd, iov, (int)n + 1) < 0) {
		net->counters.tx_dropped++;
		return 0;
	}
	net->counters.tx_frames++;
	net->counters.tx_bytes += len;
	return 0;
}

static bool serve_tx(struct virtio_net *net)
{
	struct iovec iov[IOV_N];
	struct virtq_chain chain = { .iov = iov, .iov_max = IOV_N };
	struct virtq *q = &net->dev.queues[QUEUE_TX];
	virtq_disable_kicks(q);
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		int64_t wait_ns = rate_limiter_wait_ns(&net->from_guest, clock_mono_ns());
		if (wait_ns > 0) {
			loop_timer_set(net->dev.loop, &net->tx_timer, wait_ns);
			break;
		}
		if (virtio_queue_pop(&net->dev, QUEUE_TX, &chain) != 1)
			break;
		if (transmit(net, &chain) < 0) {
			virtio_device_fail(&net->dev);
			return false;
		}
		virtq_push(q, chain.head, 0);
	}
	virtio_queue_flush(&net->dev, QUEUE_TX);
	if (!virtio_device_is_live(&net->dev) || net->tx_timer.is_set)
		return false;
	return virtq_enable_kicks(q);
}

/* ---- control ---- */

static uint8_t control(struct virtio_net *net, const struct virtq_chain *chain)
{
	struct virtio_net_ctrl_hdr h;
	uint32_t at = sizeof(h);
	chain_read(chain, 0, &h, sizeof(h));
	switch (h.class << 8 | h.cmd) {
	/* The bridge behind the tap sends only what is for us: nothing to filter. */
	case VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_PROMISC:
	case VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_ALLMULTI:
		return chain->read_bytes == at + 1 ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return VIRTIO_NET_OK;
	case VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_ADDR_SET:
		if (chain->read_bytes != at + sizeof(net->config.mac))
			return VIRTIO_NET_ERR;
		chain_read(chain, at, net->config.mac, sizeof(net->config.mac));
		return VIRTIO_NET_OK;
	default:
		return VIRTIO_NET_ERR;
	}
}

static int64_t answer_control(struct virtio_device *dev, struct virtq_chain *chain)
{
	if (chain->read_bytes < sizeof(struct virtio_net_ctrl_hdr) || chain->write_bytes < 1)
		return -EPROTO;
	uint8_t ack = control((struct virtio_net *)dev, chain);
	return chain_write(chain, 0, &ack, 1);
}

/* ---- the device ---- */

static bool kicked(struct virtio_device *dev, unsigned index)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	struct iovec iov[IOV_N];
	if (index == QUEUE_CONTROL)
		return virtio_queue_serve(dev, index, iov, IOV_N, answer_control);
	if (index == QUEUE_TX)
		return serve_tx(net);
	/* Kicks are of interest again only when buffers have run out. */
	virtq_disable_kicks(&dev->queues[QUEUE_RX]);
	net->has_rx_room = true;
	watch(net);
	return false;
}

static void rx_timer_fired(void *ctx)
{
	watch(ctx);
}

static void tx_timer_fired(void *ctx)
{
	struct virtio_net *net = ctx;
	virtio_queue_kick(&net->dev, QUEUE_TX);
}

/* Tell the tap what it may hand us. */
static int set_offloads(struct virtio_net *net, unsigned offloads)
{
	if (net->offloads == 0 || ioctl(net->tap.fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0)
		return 0;
	return errno == ENOTTY ? 0 : -errno; /* no tap: it hands out what it likes */
}

static int activate(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	unsigned offloads = 0;
	if (has(net, VIRTIO_NET_F_GUEST_CSUM)) {
		offloads |= TUN_F_CSUM;
		offloads |= has(net, VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0;
		offloads |= has(net, VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0;
		if (has(net, VIRTIO_NET_F_GUEST_ECN) && (offloads & (TUN_F_TSO4 | TUN_F_TSO6)))
			offloads |= TUN_F_TSO_ECN;
	}
	int r = offloads == net->offloads ? 0 : set_offloads(net, offloads);
	if (r < 0)
		return r;
	net->has_rx_room = virtq_has_more(&dev->queues[QUEUE_RX]);
	watch(net);
	return 0;
}

static void reset(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	virtio_unwatch(dev, &net->tap);
	loop_timer_stop(dev->loop, &net->rx_timer);
	loop_timer_stop(dev->loop, &net->tx_timer);
	net->has_rx_room = false;
	/* For the next driver; if it fails, that one fails to start. */
	int r = set_offloads(net, net->offloads);
	(void)r;
}

static void net_free(struct virtio_device *dev)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	loop_remove(dev->loop, &net->tap);
	virtio_device_done(dev);
	free(net);
}

static const struct virtio_ops ops = { .activate = activate, .reset = reset, .kicked = kicked, .free = net_free };

static uint64_t features_for(const struct virtio_net_setup *setup)
{
	static const struct {
		unsigned offload, guest, host;
	} table[] = {
		{ TUN_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM },
		{ TUN_F_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4 },
		{ TUN_F_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6 },
		{ TUN_F_TSO_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN },
	};
	uint64_t features = UINT64_C(1) << VIRTIO_NET_F_MAC | UINT64_C(1) << VIRTIO_NET_F_STATUS |
			    UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF | UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ |
			    UINT64_C(1) << VIRTIO_NET_F_CTRL_RX | UINT64_C(1) << VIRTIO_NET_F_CTRL_MAC_ADDR;
	for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
		if (setup->offloads & table[i].offload)
			features |= UINT64_C(1) << table[i].guest | UINT64_C(1) << table[i].host;
	}
	return setup->mtu ? features | UINT64_C(1) << VIRTIO_NET_F_MTU : features;
}

int virtio_net_new(const struct virtio_net_setup *setup, const struct guest_memory *mem, struct loop *loop,
		   struct virtio_device **ret)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE, 16 };
	CLEANUP_FREE struct virtio_net *net = calloc(1, sizeof(*net));
	if (!net)
		return -ENOMEM;
	int r = virtio_device_init(&net->dev, &ops, VIRTIO_ID_NET, features_for(setup), sizes, QUEUES, mem, loop);
	if (r < 0)
		return r;
	net->dev.config = (uint8_t *)&net->config;
	net->dev.config_len = sizeof(net->config);
	memcpy(net->config.mac, setup->mac, sizeof(net->config.mac));
	memcpy(net->mac, setup->mac, sizeof(net->mac));
	net->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	net->config.mtu = htole16(setup->mtu);
	net->config.max_virtqueue_pairs = htole16(1);
	net->offloads = setup->offloads & (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
	net->tap = (struct loop_source){ .fd = setup->tap_fd, .ready = tap_ready, .ctx = net };
	net->rx_timer = (struct loop_timer){ .fire = rx_timer_fired, .ctx = net };
	net->tx_timer = (struct loop_timer){ .fire = tx_timer_fired, .ctx = net };
	int64_t now_ns = clock_mono_ns();
	rate_limiter_init(&net->to_guest, &setup->to_guest, now_ns);
	rate_limiter_init(&net->from_guest, &setup->from_guest, now_ns);
	*ret = &TAKE_PTR(net)->dev;
	return 0;
}

void virtio_net_plug(struct virtio_device *dev, int tap_fd, const uint8_t mac[6], uint16_t mtu)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	net->tap.fd = tap_fd;
	memcpy(net->mac, mac, sizeof(net->mac));
	memcpy(net->config.mac, mac, sizeof(net->config.mac));
	net->config.mtu = htole16(mtu);
}

int virtio_net_unplug(struct virtio_device *dev)
{
	return loop_remove(dev->loop, &((struct virtio_net *)dev)->tap);
}

bool virtio_net_is_plugged(const struct virtio_device *dev)
{
	return ((const struct virtio_net *)dev)->tap.fd >= 0;
}

const uint8_t *virtio_net_mac(const struct virtio_device *dev)
{
	return ((const struct virtio_net *)dev)->mac;
}

void virtio_net_set_link(struct virtio_device *dev, bool is_up)
{
	struct virtio_net *net = (struct virtio_net *)dev;
	net->config.status = htole16(is_up ? VIRTIO_NET_S_LINK_UP : 0);
	virtio_device_config_changed(dev);
}

const struct virtio_net_counters *virtio_net_counters(const struct virtio_device *dev)
{
	return &((const struct virtio_net *)dev)->counters;
}
