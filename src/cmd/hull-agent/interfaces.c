/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces that the machine has are told apart by their hardware address,
 * and get the names that the workload is to see. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "fd.h"
#include "net_attach.h"

static bool has_mac(const char *name, const char *mac)
{
	CLEANUP_FREE char *path = str_printf("/sys/class/net/%s/address", name);
	CLEANUP_BUF struct buf text = BUF_INIT(64);
	return fd_read_file_at(AT_FDCWD, path, &text) == 0 && strncasecmp(buf_str(&text), mac, strlen(mac)) == 0;
}

static int find(const char *mac, char ret[IFNAMSIZ])
{
	CLEANUP_DIR DIR *d = opendir("/sys/class/net");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && strlen(e->d_name) < IFNAMSIZ && has_mac(e->d_name, mac)) {
			(void)!str_copy(ret, IFNAMSIZ, e->d_name);
			return 0;
		}
	return -ENODEV;
}

static int prepare(int sock, const struct spec_interface *i, struct err *err)
{
	char now[IFNAMSIZ];
	struct ifreq req = { 0 };
	int r = find(i->mac, now);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the interface %s (%s) of the guest", i->name, i->mac);
	(void)!str_copy(req.ifr_name, sizeof(req.ifr_name), now);
	if (!str_eq(now, i->name)) {
		if (str_copy(req.ifr_newname, sizeof(req.ifr_newname), i->name) < 0 || ioctl(sock, SIOCSIFNAME, &req) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "name the interface %s", i->name);
		(void)!str_copy(req.ifr_name, sizeof(req.ifr_name), i->name);
	}
	req.ifr_mtu = (int)i->mtu;
	if (i->mtu && ioctl(sock, SIOCSIFMTU, &req) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set the packet size of %s", i->name);
	return 0;
}

int interfaces_set_up(const struct spec_interface *ifs, size_t n, struct err *err)
{
	CLEANUP_FD int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = sock < 0 ? err_set(err, ERR_SYSTEM, -errno, "open a socket") : 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = prepare(sock, &ifs[i], err);
	return r < 0 ? r : net_configure(ifs, n, err);
}
