/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that come and go. The machine has windows for devices that are not there
 * yet: a driver that met one has left it alone, and is bound to it anew. The other way
 * the driver is unbound, with which the interface is gone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "fd.h"
#include "net_attach.h"

#define DEVICES "/sys/bus/platform/devices"
#define DRIVER "/sys/bus/platform/drivers/virtio-mmio"

/* As the command line's and ACPI's are called. */
static bool is_window(const char *device)
{
	return str_starts_with(device, "virtio-mmio.") || str_starts_with(device, "LNRO0005:");
}

static int tell_driver(const char *what, const char *device)
{
	CLEANUP_FREE char *path = str_printf(DRIVER "/%s", what);
	CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, device, strlen(device)) < 0 ? -errno : 0;
}

/* Those that are still empty refuse (ENODEV). */
static int look_again(struct err *err)
{
	CLEANUP_DIR DIR *d = opendir(DEVICES);
	if (!d)
		return err_set(err, ERR_SYSTEM, -errno, "open " DEVICES);
	for (struct dirent *e; (e = readdir(d));) {
		CLEANUP_FREE char *driver = str_printf(DEVICES "/%s/driver", e->d_name);
		int r = is_window(e->d_name) && access(driver, F_OK) < 0 ? tell_driver("bind", e->d_name) : 0;
		if (r < 0 && r != -ENODEV)
			return err_set(err, ERR_SYSTEM, r, "bind %s in the guest", e->d_name);
	}
	return 0;
}

int networks_connect(struct agent *a, const struct runtime_spec *spec, struct err *err)
{
	int r = look_again(err);
	if (r == 0)
		r = interfaces_set_up(spec->interfaces, spec->interfaces_n, err);
	return r == 0 && spec->has_name_sockets && a->names.source.fd < 0 ? names_start(a, err) : r;
}

/* ".../virtio-mmio.3/virtio3": the parent is the window. */
static int find_window(const char *name, char ret[NAME_MAX + 1])
{
	char target[PATH_MAX];
	CLEANUP_FREE char *path = str_printf("/sys/class/net/%s/device", name);
	if (!realpath(path, target))
		return -errno;
	char *slash = strrchr(target, '/');
	if (slash)
		*slash = '\0';
	slash = strrchr(target, '/');
	return slash && is_window(slash + 1) ? str_copy(ret, NAME_MAX + 1, slash + 1) : -ENODEV;
}

int networks_disconnect(const struct agent_interface *i, struct err *err)
{
	char name[sizeof(i->name) + 1], window[NAME_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", (int)sizeof(i->name), i->name);
	/* What a request that was cut off has done is done. */
	if (!*name || strchr(name, '/') || if_nametoindex(name) == 0)
		return 0;
	int r = find_window(name, window);
	if (r == 0)
		r = tell_driver("unbind", window);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove the interface %s in the guest", name) : 0;
}

int networks_route(const struct agent_routes *routes, struct err *err)
{
	char text[4][64];
	const struct agent_route *all[] = { &routes->v4, &routes->v6 };
	const int families[] = { AF_INET, AF_INET6 };
	struct net_route to[2];
	for (size_t i = 0; i < 2; i++) {
		snprintf(text[2 * i], sizeof(text[0]), "%.*s", (int)sizeof(all[i]->interface), all[i]->interface);
		snprintf(text[2 * i + 1], sizeof(text[0]), "%.*s", (int)sizeof(all[i]->gateway), all[i]->gateway);
		to[i] = (struct net_route){ families[i], *text[2 * i] ? text[2 * i] : NULL, text[2 * i + 1] };
	}
	return net_route_own(to, 2, err);
}
