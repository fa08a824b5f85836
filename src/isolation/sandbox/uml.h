/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sandbox level share. */
#pragma once

#include "guest.h"

/* The driver for disks knows that many. */
#define UML_DISKS_MAX 16
#define UML_INTERFACES_MAX 16

/* Descriptors of the kernel's process, by number. */
enum uml_fd {
	UML_FD_NULL,
	UML_FD_CONSOLE,
	UML_FD_CONSOLE_ERR,
	UML_FD_AGENT,
	UML_FD_FILES,
	UML_FD_INTERFACES /* the first */
};

/* In the jail, relative to its root. */
#define UML_KERNEL "linux"
#define UML_INITRAMFS "initramfs"
#define UML_RING "ring"
#define UML_LAYER_FORMAT "layer%zu"

int uml_boot(const struct runtime_spec *spec, const struct cgroup *cgroup, int server, struct guest_machine *ret, struct err *err) MUST_CHECK;

/* uml_network.c: join the interfaces in @netns to their bridges; a packet socket
 * on each (the caller's to close). */
int uml_network_open(int netns, const struct spec_interface *ifs, size_t n, int *ret_socks, struct err *err) MUST_CHECK;

/* uml_files.c: names in the jail, and what is mounted there. */
struct uml_files {
	struct strv names;
	int *mounts;
};
int uml_files_open(const struct spec_guest *g, struct uml_files *ret, struct err *err) MUST_CHECK;
void uml_files_done(struct uml_files *f);

/* uml_jail.c, in the kernel's process: from its birth in namespaces of its own
 * to execve. */
struct uml_jail {
	const struct runtime_spec *spec;
	const struct uml_files *files;
	int fds[UML_FD_INTERFACES + UML_INTERFACES_MAX]; /* as enum uml_fd */
	size_t fds_n;
	char *const *argv;
	/* Gets a descriptor of the ring's memory. */
	int channel;
};
int uml_jail_enter(const struct uml_jail *j, struct err *err) MUST_CHECK;
/* uml_cost.c: what a call of a program's costs on this host, a plain one and one that
 * a tracer takes (the quickest of many); some milliseconds. Where no process may be
 * traced: negative errno. */
struct uml_cost {
	int64_t call_ns, stop_ns;
};
int uml_cost_measure(struct uml_cost *ret) MUST_CHECK;
/* uml_calls.c: the list of system calls, before execve. */
int uml_calls_limit(void) MUST_CHECK;
