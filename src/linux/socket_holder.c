/* SPDX-License-Identifier: Apache-2.0 */
#include "socket_holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

/* Sockets that may share a port by SO_REUSEPORT; the first that is found is named. */
#define INODES_MAX 64

struct inodes {
	unsigned long list[INODES_MAX];
	size_t n;
};

/* proc_net_tcp.rst: "sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode" */
static void read_table(const char *file, bool tcp, uint16_t port, struct inodes *ret)
{
	char path[32], line[512];
	snprintf(path, sizeof(path), "/proc/self/net/%s", file);
	CLEANUP_FILE FILE *f = fopen(path, "re");
	while (f && ret->n < INODES_MAX && fgets(line, sizeof(line), f)) {
		unsigned local, state;
		unsigned long inode;
		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local, &state, &inode) != 3)
			continue;
		if (local == port && inode && (!tcp || state == 0x0A /* TCP_LISTEN */ || state == 0x07 /* bound only */))
			ret->list[ret->n++] = inode;
	}
}

static bool has_one_of(const char *pid, const struct inodes *inodes)
{
	char path[300], link[64];
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	CLEANUP_DIR DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		unsigned long inode;
		if (n <= 0)
			continue;
		link[n] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) != 1)
			continue;
		for (size_t i = 0; i < inodes->n; i++)
			if (inodes->list[i] == inode)
				return true;
	}
	return false;
}

static void read_name(const char *pid, char out[16])
{
	char path[300];
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, 15);
	out[n > 0 ? n : 0] = '\0';
	/* A process may call itself anything: nothing of that reaches a terminal. */
	for (char *p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = *p == '\n' && !p[1] ? '\0' : '?';
}

bool socket_holder_find(const char *protocol, uint16_t port, struct socket_holder *ret)
{
	struct inodes inodes = { .n = 0 };
	bool tcp = str_eq(protocol, "tcp");
	if (!tcp && !str_eq(protocol, "udp"))
		return false;
	read_table(tcp ? "tcp" : "udp", tcp, port, &inodes);
	read_table(tcp ? "tcp6" : "udp6", tcp, port, &inodes);
	if (inodes.n == 0)
		return false;
	CLEANUP_DIR DIR *proc = opendir("/proc");
	for (struct dirent *e; proc && (e = readdir(proc));) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !has_one_of(e->d_name, &inodes))
			continue;
		ret->pid = (pid_t)strtol(e->d_name, NULL, 10);
		read_name(e->d_name, ret->name);
		return true;
	}
	return false;
}
