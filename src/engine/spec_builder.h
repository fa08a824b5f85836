/* SPDX-License-Identifier: Apache-2.0 */
/* From what the user asked for and what the image says to the launch
 * description. Docker's rules for commands, environment, capabilities, default
 * mounts and hidden paths are here and nowhere else. Reads the host only where
 * the answer is a host's fact (devices, the layers' passwd). */
#pragma once

#include "container_config.h"
#include "image_config.h"
#include "runtime_spec.h"

/* What is known by the time a container starts. Everything is borrowed. */
struct spec_inputs {
	const char *id, *name;
	const struct container_config *config;
	const struct image_config *image;
	const struct strv *layers;     /* mounted, lowest first */
	const char *workload;          /* root/workloads/<id>: upper, work, hosts ... are there */
	int64_t userns_slot;           /* -1: the host's user namespace */
	const char *libexec;
	const char *seccomp_bpf;       /* compiled filter; NULL: none */
	/* Volumes and binds, resolved to host paths, in order. */
	const struct spec_mount *mounts;
	size_t mounts_n;
	/* Pid of the container that "container:x" modes name; 0: not used. */
	pid_t net_pid, ipc_pid, pid_pid;
	/* That of the network, or of one of the other two, is the host's. */
	bool net_has_host_userns, other_has_host_userns;
	/* With a kernel of its own: what is the host's alone is left out. */
	bool has_own_kernel;
	const char *hosts_files;       /* where hostname, hosts, resolv.conf lie; NULL: none */
	const char *hostname;
};

#define USERNS_FIRST_ID 0x10000000u
#define USERNS_SIZE 65536u
#define USERNS_SLOTS 24576u

int spec_build(const struct spec_inputs *in, struct runtime_spec **ret, struct err *err) MUST_CHECK;

/* ---- parts, by themselves for exec, update, inspect and the tests ---- */

/* Entrypoint and command by Docker's rules; ERR_INVALID "no command specified". */
int spec_args(const struct container_config *c, const struct image_config *image, struct strv *ret, struct err *err) MUST_CHECK;
/* The image's environment with the container's over it. */
void spec_env(const struct container_config *c, const struct image_config *image, const char *home, struct strv *ret);
/* What an exec adds; a name without "=" is taken away. HOME unless it is there. */
void spec_env_add(struct strv *env, const struct strv *more, const char *home);
/* Default set, --cap-add, --cap-drop, --privileged, for that user. */
int spec_capabilities(const struct strv *add, const struct strv *drop, bool privileged, bool is_root,
		      struct spec_capabilities *ret, struct err *err) MUST_CHECK;
/* --ulimit, for @p. */
int spec_rlimits(const struct container_config *c, struct spec_process *p, struct err *err) MUST_CHECK;
/* Limits alone (create, update). Checks Docker's minimums and conflicts. */
int spec_limits(const struct container_config *c, struct spec_resources *ret, struct err *err) MUST_CHECK;
bool spec_no_new_privileges(const struct container_config *c);
struct spec_mount *spec_add_mount(struct spec_mount **list, size_t *n, const char *source, const char *destination,
				  const char *type, const char *options);
void spec_mounts_free(struct spec_mount *list, size_t n);
/* True for "host" and for modes under which the host's user namespace is used. */
bool spec_uses_host_userns(const struct container_config *c);
/* Whether it shares none with the host or another container, as far as is known
 * without looking anything up. */
bool spec_has_own_namespaces(const struct container_config *c);
