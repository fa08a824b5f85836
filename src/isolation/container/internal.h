/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the container level share.
 *
 * How a start works: the launcher (parent side, launch.c) prepares everything
 * that needs the host's privileges and hands it over as descriptors: id-mapped
 * copies of the layers, of the writable directory, of each bind mount, of each
 * device node. The child (child.c), in its namespaces, attaches them, builds the
 * root from them, and never opens a path of the host. They speak over one
 * SOCK_SEQPACKET pair; execve closes the child's end, which is the success. */
#pragma once

#include <sys/types.h>

#include "cgroup.h"
#include "isolation.h"

/* ---- channel.c: what goes over the pair ---- */

enum channel_type {
	CHANNEL_GO = 1, /* to the child: maps written, descriptors follow; with a struct child_extras */
	CHANNEL_FDS,    /* to the child: up to FD_PASS_MAX descriptors */
	CHANNEL_NETWORK, /* to the child: its network is there */
	CHANNEL_PTY,    /* to the launcher: the master of the terminal */
	CHANNEL_MADE,   /* to the launcher's helper: the pid of the child (launch.c) */
	CHANNEL_EXPECT, /* to what was made ahead: the child's channel and config.json (ahead.c) */
	CHANNEL_MAKE,   /* the same: the child, with these standard streams */
	CHANNEL_BORN,   /* to the launcher, from there: a struct ahead_child with its descriptors */
	CHANNEL_NAMES,  /* to the launcher, from its helper: the sockets for names */
	CHANNEL_ERROR,  /* to the launcher: a struct err */
};
int channel_pair(int ret[2], struct err *err) MUST_CHECK;
int channel_send(int sock, enum channel_type type, const void *data, size_t len, const int *fds, size_t n) MUST_CHECK;
/* Returns the type, 0 at the end, or a negative errno. */
int channel_recv(int sock, void *data, size_t size, int *fds, size_t max, size_t *ret_n) MUST_CHECK;
/* Before the last close: what was not read would turn the peer's next read into
 * an error, ahead of what it has not read. */
void channel_drain(int sock);
/* Any number of descriptors. */
int channel_send_fds(int sock, const int *fds, size_t n) MUST_CHECK;
int channel_recv_fds(int sock, int *fds, size_t n) MUST_CHECK;

/* ---- handover.c: the descriptors, in an order both sides compute ---- */

/* layers_n layers; the writable directory if there is one; a source for each
 * bind mount; the device nodes when the container has a user namespace. */
struct handover {
	int *fds;
	size_t n;
	/* Where each kind begins. */
	size_t writable, binds, devices;
	size_t binds_n, devices_n;
};
bool spec_mount_is_bind(const struct spec_mount *mount);
/* One that is not the host's; another container's. */
bool spec_has_userns(const struct runtime_spec *spec);
bool spec_joins_userns(const struct runtime_spec *spec);
void handover_init(struct handover *h, const struct runtime_spec *spec);
void handover_done(struct handover *h);
/* @pid: the child, in its user namespace (@userns, or -1). */
int handover_open(struct handover *h, const struct runtime_spec *spec, pid_t pid, int userns, struct err *err) MUST_CHECK;

/* ---- idmap.c ---- */

enum idmap_kind { IDMAP_UID, IDMAP_GID };
/* The host's id of the container's @id, by the maps of @spec; or, for a user
 * namespace of somebody else's, by those of @pid in it (else 0). -ENOENT. */
int idmap_to_host(const struct runtime_spec *spec, pid_t pid, enum idmap_kind kind, uint32_t id, uint32_t *ret) MUST_CHECK;

/* "uid_map" or "gid_map" of the new process @pid. */
int idmap_write(pid_t pid, const char *file, const struct spec_idmap *maps, size_t n, struct err *err) MUST_CHECK;

/* ---- device_nodes.c ---- */

/* Nodes every container has, before those of spec->devices. */
extern const struct spec_device default_devices[];
extern const size_t default_devices_n;
const struct spec_device *device_at(const struct runtime_spec *spec, size_t i);
size_t devices_count(const struct runtime_spec *spec);
/* The tmpfs that is to be mounted on /dev. */
bool mount_is_dev(const struct spec_mount *m);
#define DEVICE_NODE_NAME_MAX 256
/* What device @i is called among the nodes; true when that is its place, false
 * when it is yet to be bound there. */
bool device_node_name(const struct runtime_spec *spec, size_t i, char ret[DEVICE_NODE_NAME_MAX]);
/* On the host's side: a detached tmpfs with all nodes. */
int device_nodes_open(const struct runtime_spec *spec, pid_t pid, int *ret, struct err *err) MUST_CHECK;

/* become.c: identity, limits, privileges, then execve; returns only an error. */
struct become_args {
	const struct spec_process *process;
	/* The filter, read before the host's files went out of reach; NULL: none. */
	const void *filter;
	size_t filter_len;
	bool is_init; /* through the hull-init at init_fd */
	int init_fd;
};
int become(const struct become_args *args, struct err *err) MUST_CHECK;
/* Read a compiled filter; *ret is allocated; none for a NULL path. */
int filter_read(const char *path, void **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/* The same from a descriptor, which is read from where it stands. */
int filter_read_fd(int fd, const char *name, void **ret, size_t *ret_len, struct err *err) MUST_CHECK;

/* ---- child.c and what it calls, all in the child ---- */

struct child_args {
	const struct runtime_spec *spec;
	const struct isolation_io *io;
	int channel;
	const struct cgroup_layout *cgroups;
	/* To be entered; born in its cgroup2 directory. */
	const struct cgroup *cgroup;
	bool cgroup_namespace;
	int sysfs; /* a mount with SYSFS_AHEAD_ATTRIBUTES; -1: none was made ahead */
	struct become_args become;
};
#define SYSFS_AHEAD_ATTRIBUTES (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
_Noreturn void child_run(struct child_args *args);
/* With CHANNEL_GO, to a child that is no fork of its launcher: what become needs,
 * as descriptors in this order. */
struct child_extras {
	bool has_filter, has_init;
};
#define CHILD_EXTRAS_MAX 2

/* ---- ahead.c: namespaces that are made before the workload is known ---- */

/* How it works: a process in new namespaces (isolation.h's prepare()) waits for
 * CHANNEL_EXPECT. Then it reads the description at the same time as its launcher, and
 * makes the control group. At CHANNEL_MAKE it clones the child into that, and ends. The child goes on
 * like any other: it waits for the launcher's CHANNEL_GO. Its channel is its own:
 * whoever of the three dies, the others see the end of theirs. */
struct ahead_child {
	pid_t pid;
	/* After the pidfd: a directory of the control group for each bit, by hierarchy. */
	uint32_t hierarchies;
};
#define AHEAD_CHILD_FDS (1 + CGROUP_CONTROLLER_COUNT)
void container_prepare(struct isolation_ahead *ret);
void container_expect(struct isolation_ahead *ahead, int config_fd, int lock_fd);
/* Whether @spec asks for just the namespaces that are there. */
bool ahead_fits(const struct runtime_spec *spec);
/* With one that fits: have the child made. */
int ahead_make(int sock, const struct isolation_io *io, struct err *err) MUST_CHECK;
/* What the control group and its namespace are to be; *ret_layout is CGROUP_MODE_NONE
 * without any. */
int launch_detect_cgroups(struct cgroup_layout *ret_layout, struct err *err) MUST_CHECK;
int launch_make_cgroup(const struct runtime_spec *spec, const struct cgroup_layout *layout, struct cgroup *cg,
		       struct err *err) MUST_CHECK;

/* rootfs.c: build the root, attached; returns a descriptor on it. */
int rootfs_build(const struct runtime_spec *spec, const struct handover *h, int *ret_root, struct err *err) MUST_CHECK;
/* Make the working directory if it is missing; it is root's, as with Docker. */
int rootfs_make_cwd(const struct runtime_spec *spec, int root, struct err *err) MUST_CHECK;
/* Make @root the root of this mount namespace and let go of the old one. */
int rootfs_enter(int root, struct err *err) MUST_CHECK;

/* mounts.c */
/* The tmpfs @m asks for, detached. */
int mounts_open_tmpfs(const struct spec_mount *m, int *ret, struct err *err) MUST_CHECK;
int mounts_make(const struct child_args *args, const struct handover *h, int root, struct err *err) MUST_CHECK;
/* devices.c: after the mounts, because /dev is one of them. */
int devices_make(const struct runtime_spec *spec, const struct handover *h, int root, struct err *err) MUST_CHECK;
/* masks.c */
int masks_apply(const struct runtime_spec *spec, int root, struct err *err) MUST_CHECK;
int sysctls_apply(const struct runtime_spec *spec, int root, struct err *err) MUST_CHECK;

/* terminal.c: a pty of the container's own devpts as descriptors 0, 1, 2;
 * returns the master. Or the given descriptors. */
int terminal_set_up(const struct spec_process *process, const struct isolation_io *io, int *ret_master,
		    struct err *err) MUST_CHECK;

/* stdio_owner.c: make pipes among @io the property of @process's user, from the
 * host's side. @is_made: the user namespace exists, and @pid is in it. */
int stdio_give(const struct runtime_spec *spec, pid_t pid, bool is_made, const struct spec_process *process,
	       const struct isolation_io *io, struct err *err) MUST_CHECK;

/* ---- the operations of the contract, by file ---- */
int container_start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		    struct isolation_fds *ret, struct err *err);
int container_exec(const struct isolation_handle *handle, const struct runtime_spec *spec,
		   const struct spec_process *process, const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd,
		   int *ret_pty, struct err *err);
int container_enter_files(const struct isolation_handle *handle, struct err *err);
/* control.c: PID 1 behind the handle, held by a pidfd; ERR_CONFLICT "container is
 * not running". */
int container_open_init(const struct isolation_handle *handle, int *ret, struct err *err) MUST_CHECK;
/* start and exec: collect the child's answer. */
int launch_wait(int channel, struct isolation_fds *ret, struct err *err) MUST_CHECK;
