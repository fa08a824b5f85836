/* SPDX-License-Identifier: Apache-2.0 */
/* What levels with a kernel of their own have in common: everything but the
 * machine. A level brings struct guest_level; sandbox/ and microvm/ do.
 *
 * How a start works: the launcher makes the control group and clones the
 * supervisor-to-be as a child of the monitor, as the container level does with
 * its PID 1, so that the workload's life is the supervisor's. While that process
 * still has the host's privileges it has the level boot the machine as a child
 * of its own; then it executes hull-guest, which has no privileges and only
 * descriptors: the machine's, the agent's, the workload's. */
#pragma once

#include "agent_proto.h"
#include "buf.h"
#include "cgroup.h"
#include "isolation.h"

/* What boot() leaves; each the caller's. */
struct guest_machine {
	pid_t pid;   /* its network namespace has the links to the guest */
	int pidfd;
	int agent;   /* the stream to the agent */
	int console; /* a pipe: what the kernel prints */
	int files;   /* the stream of the guest's FUSE messages */
	int control; /* open as long as the machine is to live; -1: none */
	int ring;    /* memory of two rings, agent and files being their bells; -1: none */
};
#define GUEST_MACHINE_INIT ((struct guest_machine){ 0, -1, -1, -1, -1, -1, -1 })

struct guest_level {
	enum isolation_level level;
	/* The device of layer @i as the guest names it. */
	void (*layer_device)(const struct runtime_spec *spec, size_t i, char *ret, size_t size);
	/* In the supervisor-to-be: start the machine as a child, in @cgroup, with
	 * its interfaces joined to their bridges. It dies with the caller. */
	int (*boot)(const struct runtime_spec *spec, const struct cgroup *cgroup, int files, struct guest_machine *ret, struct err *err);
	/* The machine speaks with hull-files itself: boot() gets the stream (otherwise -1)
	 * and leaves no `files` of its own. */
	bool takes_files;
};

/* What the guest's kernel and the machine's process take besides the workload. */
#define GUEST_KERNEL_BYTES (64ull << 20)
#define GUEST_MACHINE_BYTES (96ull << 20)
/* Processes of the machine's own. */
#define GUEST_MACHINE_PIDS 64
#define GUEST_DEFAULT_MEMORY_BYTES (512ull << 20)

/* ---- start.c, exec.c: for a level's operations ---- */
int guest_start(const struct guest_level *level, const struct runtime_spec *spec, const struct isolation_io *io,
		struct isolation_handle *ret_handle, struct isolation_fds *ret, struct err *err) MUST_CHECK;
int guest_exec(const struct isolation_handle *handle, const struct runtime_spec *spec, const struct spec_process *process,
	       const struct isolation_io *io, pid_t *ret_pid, int *ret_pidfd, int *ret_pty, struct err *err);

/* ---- pause.c ---- */
int guest_pause(const struct isolation_handle *handle, struct err *err);
int guest_resume(const struct isolation_handle *handle, struct err *err);
/* Around a question: the machine of a paused guest answers, the workload stands
 * still. *ret_mark goes to guest_sleep_again(); -1: it is not paused. */
int guest_wake(const struct isolation_handle *handle, int *ret_mark, struct err *err) MUST_CHECK;
void guest_sleep_again(const struct isolation_handle *handle, int mark);
/* Of one that is gone. */
void guest_forget_pause(const struct isolation_handle *handle);

/* ---- control.c: by handle ---- */
/* Have the agent stop the workload, or let it go on. ERR_CONFLICT: it is not running. */
int guest_ask_pause(const struct isolation_handle *handle, bool pause, int timeout_s, struct err *err);
int guest_signal(const struct isolation_handle *handle, int signo, bool all, struct err *err);
/* @gives_back: it has a balloon and processors to spare: what is over a new limit is
 * waited for. */
int guest_update(const struct isolation_handle *handle, const struct spec_resources *res, bool gives_back, struct err *err);
int guest_stats(const struct isolation_handle *handle, struct isolation_stats *ret, struct err *err);
int guest_processes(const struct isolation_handle *handle, struct buf *ret, struct err *err);
int guest_watch_memory(const struct isolation_handle *handle, int *ret_fd, struct err *err);
/* copy.c */
int guest_copy_files(const struct isolation_handle *handle, const void *order, size_t len, bool sends, int control, int data,
		     struct err *err);
/* networks.c. @link: what the machine takes as the host's end; the caller's. */
int guest_network_connect(const struct isolation_handle *handle, const struct spec_interface *i, bool has_names, int link,
			  struct err *err);
int guest_network_disconnect(const struct isolation_handle *handle, const char *name, const char *mac, struct err *err);
int guest_network_routes(const struct isolation_handle *handle, const struct net_route *routes, size_t n, struct err *err);
int guest_destroy(const struct isolation_handle *handle, struct err *err);
/* A connection to the supervisor; ERR_CONFLICT when there is none. */
int guest_connect(const struct isolation_handle *handle, int *ret, struct err *err) MUST_CHECK;

/* One request and its answer of answer_len bytes. */
struct guest_question {
	enum agent_type type;
	uint32_t arg;
	uint16_t stream;
	const struct buf *document; /* NULL: none */
	const void *payload;
	size_t len;
	int fd; /* goes along; -1: none */
	void *answer;
	size_t answer_len;
	int timeout_s; /* 0: as long as is usual */
};
int guest_ask(const struct isolation_handle *handle, const struct guest_question *q, struct err *err) MUST_CHECK;

/* ---- request.c: what is sent to the agent ---- */

/* A file (at its beginning) with the frames that start the workload. */
int guest_request_start(const struct guest_level *level, const struct runtime_spec *spec, int *ret, struct err *err) MUST_CHECK;
int guest_request_exec(const struct spec_process *process, int *ret, struct err *err) MUST_CHECK;
/* @res as the machine's control group gets it, and as the guest's. The caller
 * frees by spec_resources_done(). */
/* What the guest is to have of its machine's memory, as in a frame. */
uint32_t guest_memory_mib(const struct spec_resources *res);
uint16_t guest_processors(const struct spec_resources *res);
void guest_limits_outside(const struct spec_resources *res, struct spec_resources *ret);
void guest_limits_inside(const struct spec_resources *res, struct spec_resources *ret);

/* ---- shares.c: the host's files ---- */

/* "ro", but not what is mounted below: kept by the host. */
bool guest_is_read_only_at_top(const struct spec_mount *m);
/* What the source of bind mount @i is called among the shares. */
#define GUEST_SHARE_FORMAT "m%zu"
/* In the supervisor-to-be: start hull-files as a child; *ret is the stream to it,
 * on which its answer is to be waited for (files_recv_started()). @is_small: the
 * agent relays its messages (FILES_SMALL). */
int guest_files_start(const struct runtime_spec *spec, const struct cgroup *cgroup, bool is_small, int *ret, struct err *err) MUST_CHECK;

/* mount_points.c: in the supervisor-to-be. Makes nothing worse when it fails. */
void guest_make_mount_points(const struct runtime_spec *spec);

/* ---- supervisor.c: what start and exec share ---- */

struct guest_terminal {
	int master, slave;
};
/* A terminal that passes bytes as they are; the guest's own has the discipline. */
int guest_terminal_open(const struct spec_process *process, struct guest_terminal *ret, struct err *err) MUST_CHECK;
/* Become hull-guest; returns only an error. @fds from GUEST_FD_REPORT on. */
int guest_execute(const struct runtime_spec *spec, const char *mode, const int stdio[3], bool is_terminal, const int *fds, size_t n,
		  struct err *err) MUST_CHECK;
/* In the launcher: wait for the answer. */
/* @ret_names (may be NULL): the sockets for names, if they come. */
int guest_wait_report(int sock, int ret_names[2], struct err *err) MUST_CHECK;
