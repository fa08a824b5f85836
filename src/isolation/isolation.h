/* SPDX-License-Identifier: Apache-2.0 */
/* The one contract between the engine and the walls it can put around a
 * workload. The engine and the monitor know levels only through this header;
 * each back end is one folder below, and deleting a folder still builds.
 *
 * A running workload is addressed by a struct isolation_handle: small, plain
 * data that the monitor puts into its run state, so that any hull process can
 * act on the workload without asking the process that started it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "runtime_spec.h"

enum isolation_level {
	ISOLATION_CONTAINER,
	ISOLATION_SANDBOX,
	ISOLATION_MICROVM,
	ISOLATION_VM,
	ISOLATION_WASM,
	ISOLATION_LEVEL_COUNT
};

/* "container", ...; the canonical name. */
const char *isolation_level_name(enum isolation_level level);
/* Accepts the names, and the aliases that Docker users' files carry: "",
 * "default", "process", "runc", "crun" -> container; "hyperv", "kata*", "krun"
 * -> microvm; "runsc", "gvisor" -> sandbox; "io.containerd.NAME.v2" likewise. */
int isolation_level_parse(const char *name, enum isolation_level *ret, struct err *err) MUST_CHECK;

struct buf;
struct net_route;

struct isolation_handle {
	pid_t pid;                /* PID 1 of the workload, in the host's numbering */
	uint64_t pid_start_ticks; /* field 22 of /proc/PID/stat: tells a reused number */
	char cgroup[128];         /* as spec->cgroup_path */
	char run_dir[256];        /* of the workload, below $HULL_RUN; levels with a guest need it */
};

/* What prepare() made, before anybody knew the workload: a process that waits
 * for it. It ends with the last copy of @sock, at the latest. */
struct isolation_ahead {
	pid_t pid; /* the parent of the caller of prepare() is to reap it; 0: none */
	int sock;  /* -1: none */
	int child_sock; /* with the process that it is going to make; -1: none yet */
};

/* What the process of the workload (or of an exec) is given. */
struct isolation_io {
	/* Without a terminal: the three descriptors of the process. With one:
	 * -1; the back end makes the pty inside and returns its master. */
	int stdin_fd, stdout_fd, stderr_fd;
	/* start() alone: what prepare() made for it, closed by start(); or NULL. */
	struct isolation_ahead *ahead;
};

struct isolation_stats {
	uint64_t cpu_usage_ns, cpu_user_ns, cpu_system_ns;
	uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	uint64_t memory_usage_bytes;  /* page cache that can be dropped not counted, as docker stats */
	uint64_t memory_total_bytes;  /* with it */
	uint64_t memory_max_bytes;    /* high-water mark, 0 if unknown */
	uint64_t memory_limit_bytes;  /* UINT64_MAX: none */
	uint64_t memory_inactive_file_bytes;
	uint64_t pids, pids_limit;    /* limit 0: none */
	uint64_t blkio_read_bytes, blkio_write_bytes, blkio_read_ops, blkio_write_ops;
	uint64_t oom_kills;
	uint64_t online_cpus;
};

/* What start() hands over; each -1 or the caller's to close. */
struct isolation_fds {
	int pidfd;
	int pty; /* the master, with a terminal */
	/* Holds what the kernel takes long to tear down (the container's mounts):
	 * while it is open the end of PID 1 is told at once, and the tearing down
	 * happens when it is closed, or by the exit of whoever has it. */
	int hold;
	/* Where the workload asks for names: UDP and TCP sockets in its network
	 * (name_sockets.h), when its launch description has them. */
	int names[2];
};
#define ISOLATION_FDS_INIT ((struct isolation_fds){ -1, -1, -1, { -1, -1 } })

/* Each a line; empty: nothing. */
struct isolation_note {
	char gives[240], costs[240];
};

struct isolation {
	enum isolation_level level;

	/* 0 if this host can run the level; else @err says what is missing and
	 * what to do. Cheap; no lasting effect. */
	int (*probe)(struct err *err);

	/* For doctor, what the level is here, as far as some milliseconds tell; NULL:
	 * there is nothing to say. -errno in @err where it then turns out not to work. */
	int (*describe)(struct isolation_note *ret, struct err *err);

	/* ---- only in hull-monitor, which stays the parent ---- */

	/* In the process that is going to call start(), before the launch description
	 * exists: make what most workloads of the level take longest to get. A start()
	 * that cannot use it does without. What stands in the way is told by start(),
	 * too. NULL: there is nothing to make. */
	void (*prepare)(struct isolation_ahead *ret);
	/* The launch description is there (@config_fd, config.json open for reading, from
	 * which the caller itself must not read): it may be read while the caller reads it,
	 * too, and the control group be made. @lock_fd is the workload's lock, which is kept
	 * as long as somebody is left who makes something of it. With prepare(). */
	void (*expect)(struct isolation_ahead *ahead, int config_fd, int lock_fd);

	/* Start the workload of @spec. Returns once its PID 1 has called execve
	 * (or failed: then nothing is left behind and @err has Docker's words,
	 * with errnum -ENOENT for a missing command and -EACCES/-EPERM/-ENOEXEC
	 * for one that cannot be executed). The new process is a child of the
	 * calling process and gets SIGKILL if that dies. A process that was made and
	 * failed is the parent's to reap: then ret->pidfd is set with the error
	 * (else -1). Until that is done the workload's PID 1 cannot end. */
	int (*start)(const struct runtime_spec *spec, const struct isolation_io *io,
		     struct isolation_handle *ret_handle, struct isolation_fds *ret, struct err *err);

	/* Start one more process in a running workload; a child of the caller
	 * likewise. @spec is the workload's own (for its seccomp filter,
	 * capabilities, namespaces). */
	int (*exec)(const struct isolation_handle *handle, const struct runtime_spec *spec,
		    const struct spec_process *process, const struct isolation_io *io,
		    pid_t *ret_pid, int *ret_pidfd, int *ret_pty, struct err *err);

	/* ---- anywhere, by handle ---- */

	/* To PID 1, or with @all to every process of the workload. ERR_CONFLICT
	 * when it is not running. */
	int (*signal)(const struct isolation_handle *handle, int signo, bool all, struct err *err);
	int (*pause)(const struct isolation_handle *handle, struct err *err);
	int (*resume)(const struct isolation_handle *handle, struct err *err);
	/* Only fields that are set in @res change. */
	int (*update)(const struct isolation_handle *handle, const struct spec_resources *res, struct err *err);
	int (*stats)(const struct isolation_handle *handle, struct isolation_stats *ret, struct err *err);
	/* A descriptor (caller closes) that becomes readable when the workload may
	 * have run out of memory; read it dry, then ask stats(). ERR_UNSUPPORTED:
	 * nothing limits its memory. */
	int (*watch_memory)(const struct isolation_handle *handle, int *ret_fd, struct err *err);
	/* Host pids of all processes (caller frees). */
	int (*pids)(const struct isolation_handle *handle, pid_t **ret, size_t *ret_n, struct err *err);
	/* Where the processes are another kernel's (else NULL): rows of process_table.h's
	 * cells, separated by tabs, a line each. */
	int (*processes)(const struct isolation_handle *handle, struct buf *ret, struct err *err);
	/* For cp, in a process forked for it: from here on that process sees the
	 * workload's files, with the owners that the workload sees, and no other;
	 * its root and working directory are the workload's. It keeps its
	 * descriptors, and processes of the workload cannot look into it. */
	int (*enter_files)(const struct isolation_handle *handle, struct err *err);

	/* The same where the files are another machine's (then enter_files is NULL): carry
	 * out the order of @len bytes (the engine's struct copy_order) there. @control
	 * and @data are the other sides of the engine's; @sends: the data comes out.
	 * Returns when it is over; NULL: enter_files is to be used. */
	int (*copy_files)(const struct isolation_handle *handle, const void *order, size_t len, bool sends, int control, int data,
			  struct err *err);

	/* Networks of a workload that runs, where its interfaces are another kernel's; NULL:
	 * they cannot change while it runs, or (at the level container) they are made by
	 * net_attach.h. connect() makes the host's end, too; @has_names: questions for
	 * names are answered from now on. disconnect() is of an interface whose host's end
	 * is gone, and success when there is none. Each blocks until the guest has done it. */
	int (*connect)(const struct isolation_handle *handle, const struct spec_interface *i, bool has_names, struct err *err);
	int (*disconnect)(const struct isolation_handle *handle, const char *name, const char *mac, struct err *err);
	int (*set_routes)(const struct isolation_handle *handle, const struct net_route *routes, size_t n, struct err *err);

	/* Kill what is left of the workload and remove everything outside its
	 * state folder that start() may have made (processes, cgroups). Works
	 * from the handle's cgroup alone, any number of times, also after a
	 * crash. Blocks until the processes are gone. */
	int (*destroy)(const struct isolation_handle *handle, struct err *err);
};

/* The back end of a level; ERR_UNSUPPORTED (with the nearest level as hint)
 * when this build has none. Never NULL on success. */
int isolation_get(enum isolation_level level, const struct isolation **ret, struct err *err) MUST_CHECK;
