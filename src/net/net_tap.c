/* SPDX-License-Identifier: Apache-2.0 */
#include "net_tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cleanup.h"
#include "link.h"
#include "net_rate.h"

#define TUN_DEVICE "/dev/net/tun"

const unsigned net_tap_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

static int make_tap(const struct spec_interface *i, int *ret_fd)
{
	struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct virtio_net_hdr_v1);
	CLEANUP_FD int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (str_copy(req.ifr_name, sizeof(req.ifr_name), i->host_name) < 0)
		return -ENAMETOOLONG;
	if (ioctl(fd, TUNSETIFF, &req) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, (unsigned long)net_tap_offloads) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int net_tap_open(const struct spec_interface *i, int *ret_fd, struct err *err)
{
	CLEANUP_FD int sock = -1, fd = -1;
	int master = 0;
	if (i->kind || str_is_empty(i->bridge)) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "the interface %s of a virtual machine must be on a bridge", i->name);
		err_hint(err, "a network of the driver bridge");
		return r;
	}
	int r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_index(sock, i->bridge, &master);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the bridge %s", i->bridge);
	r = make_tap(i, &fd);
	if (r == -EBUSY || r == -EINVAL) {
		/* The link of a workload that died. */
		r = link_delete(sock, i->host_name);
		if (r == 0)
			r = make_tap(i, &fd);
	}
	if (r < 0) {
		r = err_set(err, ERR_SYSTEM, r, "make the tap %s", i->host_name);
		if (r == -ENOENT || r == -ENODEV)
			err_hint(err, "modprobe tun");
		return r;
	}
	r = link_join_bridge(sock, i->host_name, master, i->mtu);
	if (r == 0 && i->is_port_isolated)
		r = link_set_port_isolated(sock, i->host_name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "connect %s to the bridge %s", i->name, i->bridge);
	const struct net_rate rate = { i->rate_in, i->rate_out };
	r = rate.in || rate.out ? net_rate_set(i->host_name, &rate, err) : 0;
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}
