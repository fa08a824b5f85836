/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "pmem_window.h"
#include "virtio_blk.h"
#include "virtio_balloon.h"
#include "virtio_console.h"
#include "virtio_fs.h"
#include "virtio_net.h"
#include "virtio_pmem.h"
#include "virtio_rng.h"
#include "virtio_vsock.h"

/* Where partitions start on a disk of layers. */
#define LAYER_ALIGN (UINT64_C(1) << 20)

static int fd_of(const int *fds, int32_t index)
{
	return index < 0 ? -1 : fds[index];
}

static struct rate_limits limits_of(const struct vmm_rate *rate)
{
	return (struct rate_limits){ .bytes_per_s = rate->bytes_per_second, .ops_per_s = rate->ops_per_second };
}

/* One file, or layers as partitions. */
static int make_disk(const struct vmm_device *d, const int *fds, uint64_t align, struct blk_disk *ret)
{
	static struct blk_layer layers[BLK_LAYERS_MAX]; /* before any thread */
	struct stat st;
	if (!d->layers_n) {
		int fd = fds[d->fds[0]];
		uint64_t bytes = 0;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (S_ISREG(st.st_mode))
			bytes = (uint64_t)st.st_size;
		return blk_disk_raw(ret, fd, bytes, d->flags & VMM_DEVICE_READONLY);
	}
	if (d->layers_n > BLK_LAYERS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < d->layers_n; i++) {
		int fd = fds[(uint32_t)d->fds[0] + i];
		if (fstat(fd, &st) < 0)
			return -errno;
		layers[i] = (struct blk_layer){ .fd = fd, .bytes = (uint64_t)st.st_size };
		snprintf(layers[i].name, sizeof(layers[i].name), "layer%u", i);
	}
	return blk_disk_layers(ret, layers, d->layers_n, align);
}

/* What machine_add_window() has found for each device. */
static struct {
	uint64_t gpa, bytes;
} windows[VMM_DEVICES_MAX];

int devices_map(struct machine *m, const struct vmm_start *start, const int *fds, struct err *err)
{
	for (unsigned i = 0; i < start->n_devices; i++) {
		if (start->devices[i].kind != VMM_DEVICE_PMEM)
			continue;
		struct blk_disk disk = { 0 };
		struct pmem_window window = { 0 };
		int r = make_disk(&start->devices[i], fds, PMEM_ALIGN, &disk);
		if (r >= 0)
			r = pmem_window_map(&disk, &window);
		blk_disk_done(&disk);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "map the files of device %u", i);
		windows[i].bytes = window.bytes;
		r = machine_add_window(m, window.host, window.bytes, &windows[i].gpa, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_console(struct machine *m, const struct vmm_device *d, const int *fds, struct virtio_device **ret)
{
	struct virtio_console_setup setup = { .in_fd = fd_of(fds, d->fds[0]), .out_fd = fd_of(fds, d->fds[1]), .limits = limits_of(&d->write) };
	int r = setup.in_fd >= 0 ? fd_set_nonblock(setup.in_fd, true) : 0;
	if (r >= 0 && setup.out_fd >= 0)
		r = fd_set_nonblock(setup.out_fd, true);
	return r < 0 ? r : virtio_console_new(&setup, &m->mem, &m->loop, ret);
}

static int make_blk(struct machine *m, const struct vmm_device *d, const int *fds, struct virtio_device **ret)
{
	struct virtio_blk_setup setup = { .limits = limits_of(&d->write), .io = BLK_IO_BEST };
	memcpy(setup.id, d->name, strnlen(d->name, sizeof(setup.id)));
	int r = make_disk(d, fds, LAYER_ALIGN, &setup.disk);
	return r < 0 ? r : virtio_blk_new(&setup, &m->mem, &m->loop, ret);
}

static int make_vsock(struct machine *m, const struct vmm_device *d, const int *fds, struct virtio_device **ret)
{
	int r = virtio_vsock_new(d->cid, &m->mem, &m->loop, ret);
	if (r >= 0 && d->fds[0] >= 0)
		r = virtio_vsock_set_entry(*ret, fds[d->fds[0]]);
	if (r >= 0 && d->fds[1] >= 0)
		r = virtio_vsock_listen(*ret, d->port, fds[d->fds[1]]);
	return r;
}

static int make_net(struct machine *m, const struct vmm_device *d, const int *fds, struct virtio_device **ret)
{
	struct virtio_net_setup setup = { .tap_fd = fd_of(fds, d->fds[0]), .mtu = d->mtu, .offloads = d->offloads,
					  .to_guest = limits_of(&d->read), .from_guest = limits_of(&d->write) };
	memcpy(setup.mac, d->mac, sizeof(setup.mac));
	return virtio_net_new(&setup, &m->mem, &m->loop, ret);
}

static int make_fs(struct machine *m, const struct vmm_device *d, const int *fds, struct virtio_device **ret)
{
	struct virtio_fs_setup setup = { .fd = fds[d->fds[0]] };
	memcpy(setup.tag, d->name, strnlen(d->name, sizeof(setup.tag)));
	return virtio_fs_new(&setup, &m->mem, &m->loop, ret);
}

static int make_balloon(struct machine *m, struct virtio_device **ret)
{
	static const struct virtio_balloon_setup setup;
	int r = virtio_balloon_new(&setup, &m->mem, &m->loop, ret);
	if (r >= 0)
		m->balloon = *ret;
	return r;
}

static int make_device(struct machine *m, const struct vmm_device *d, unsigned index, const int *fds, struct virtio_device **ret)
{
	switch ((enum vmm_device_kind)d->kind) {
	case VMM_DEVICE_RNG:
		return virtio_rng_new(&m->mem, &m->loop, ret);
	case VMM_DEVICE_CONSOLE:
		return make_console(m, d, fds, ret);
	case VMM_DEVICE_VSOCK:
		return make_vsock(m, d, fds, ret);
	case VMM_DEVICE_BLK:
		return make_blk(m, d, fds, ret);
	case VMM_DEVICE_NET:
		return make_net(m, d, fds, ret);
	case VMM_DEVICE_FS:
		return make_fs(m, d, fds, ret);
	case VMM_DEVICE_BALLOON:
		return make_balloon(m, ret);
	case VMM_DEVICE_PMEM:
		return virtio_pmem_new(windows[index].gpa, windows[index].bytes, &m->mem, &m->loop, ret);
	default:
		return -EOPNOTSUPP;
	}
}

uint64_t devices_balloon_bytes(const struct machine *m)
{
	return m->balloon ? virtio_balloon_discarded(m->balloon) : 0;
}

void devices_set_memory(struct machine *m, uint64_t bytes)
{
	uint64_t all = m->low_bytes + m->high_bytes;
	if (m->balloon)
		virtio_balloon_set_target(m->balloon, bytes < all ? all - bytes : 0);
}

int devices_add(struct machine *m, const struct vmm_start *start, const int *fds, struct err *err)
{
	for (unsigned i = 0; i < start->n_devices; i++) {
		struct virtio_device *dev = NULL;
		int r = make_device(m, &start->devices[i], i, fds, &dev);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "make device %u", i);
		struct window *window;
		r = machine_add_device(m, dev, &window, err);
		if (r < 0)
			return r;
		if (start->devices[i].flags & VMM_DEVICE_PARKED)
			virtio_mmio_park(&window->mmio, true);
	}
	return 0;
}

static struct window *find_net(struct machine *m, bool is_plugged, const uint8_t *mac)
{
	for (unsigned i = 0; i < m->windows_n; i++) {
		struct window *w = &m->windows[i];
		if (w->dev->id == VIRTIO_ID_NET && virtio_net_is_plugged(w->dev) == is_plugged &&
		    (!mac || memcmp(virtio_net_mac(w->dev), mac, 6) == 0))
			return w;
	}
	return NULL;
}

int devices_plug(struct machine *m, int tap, const uint8_t mac[6], uint16_t mtu, struct err *err)
{
	struct window *w = find_net(m, false, NULL);
	if (!w)
		return err_set(err, ERR_CONFLICT, 0, "the virtual machine has no room for another network");
	virtio_net_plug(w->dev, tap, mac, mtu);
	virtio_mmio_park(&w->mmio, false);
	return 0;
}

void devices_unplug(struct machine *m, const uint8_t mac[6])
{
	struct window *w = find_net(m, true, mac);
	if (!w)
		return;
	virtio_mmio_park(&w->mmio, true);
	int tap = virtio_net_unplug(w->dev);
	cleanup_fd(&tap);
}
