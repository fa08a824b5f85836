/* SPDX-License-Identifier: Apache-2.0 */
/* The host's files: what the guest's kernel asks of its FUSE file system goes out
 * as it is, to hull-files on the host, and the replies come back. One request is on
 * its way out at a time; any number may wait for their replies.
 *
 * A process of its own, because it must wait for nothing of the guest's: while a
 * file is spliced into a pipe that pipe is locked, and whoever reads it waits for
 * the file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "agent_port.h"
#include "files_proto.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#define REPLY_HEADER 16

struct relay {
	struct agent_port port;
	int device;
	/* Poll has said that the device has a request. Asked for only then: a call that
	 * finds nothing costs as much here as one that finds something. */
	bool is_asked;
	char *request, *reply;
	size_t request_len, sent, reply_len;
};

/* Returns 1 when something moved, 0 when nothing can, negative at the end. */
static int send_request(struct relay *r)
{
	if (r->sent == r->request_len) {
		if (!r->is_asked)
			return 0;
		r->is_asked = false;
		ssize_t n = read(r->device, r->request, FILES_SMALL_MAX);
		/* ENOENT: the request was taken back. */
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : errno == ENOENT ? 1 : -errno;
		r->request_len = (size_t)n;
		r->sent = 0;
	}
	ssize_t n = agent_port_write(&r->port, r->request + r->sent, r->request_len - r->sent);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	r->sent += (size_t)n;
	return 1;
}

static int take_replies(struct relay *r)
{
	size_t at = 0;
	uint32_t len;
	for (; r->reply_len - at >= sizeof(len); at += len) {
		memcpy(&len, r->reply + at, sizeof(len));
		if (len < REPLY_HEADER || len > FILES_SMALL_MAX)
			return -EBADMSG;
		if (r->reply_len - at < len)
			break;
		/* One that nobody waits for any more is refused, and that is all. */
		if (write(r->device, r->reply + at, len) < 0 && errno == ENODEV)
			return -ENODEV;
	}
	r->reply_len -= at;
	memmove(r->reply, r->reply + at, r->reply_len);
	return 1;
}

static int receive_replies(struct relay *r)
{
	ssize_t n = agent_port_read(&r->port, r->reply + r->reply_len, FILES_SMALL_MAX + AGENT_PAYLOAD_MAX - r->reply_len);
	if (n < 0)
		return n == -EAGAIN ? 0 : (int)n;
	r->reply_len += (size_t)n;
	return take_replies(r);
}

static int wait_for_more(struct relay *r)
{
	bool is_sending = r->sent < r->request_len;
	struct pollfd p[2] = { { .fd = r->port.fd, .events = POLLIN | (is_sending && !r->port.has_ring ? POLLOUT : 0) },
			       { .fd = r->device, .events = POLLIN } };
	if (agent_port_rest(&r->port, is_sending))
		return 0;
	if (poll(p, is_sending ? 1 : 2, -1) < 0 && errno != EINTR)
		return -errno;
	r->is_asked = !is_sending && p[1].revents;
	return p[0].revents ? agent_port_woken(&r->port) : 0;
}

static _Noreturn void run(struct relay *r)
{
	for (int status = 0; status >= 0;) {
		int out = send_request(r), in = out < 0 ? out : receive_replies(r);
		status = in < 0 ? in : out || in ? 0 : wait_for_more(r);
	}
	/* From here on the guest's requests fail. */
	_exit(1);
}

/* By virtio-fs, whose device carries the messages itself. */
static int mount_device(struct err *err)
{
	if ((mkdir(AGENT_SHARES_DIR, 0755) < 0 && errno != EEXIST) || mount(AGENT_FILES_TAG, AGENT_SHARES_DIR, "virtiofs", 0, NULL) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "mount the host's files in the guest");
	return 0;
}

/* Pages that are there before the first request needs memory; filled by the kernel in
 * one call, where writing to each would be a fault each. */
static char *reserve(size_t size)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return memory == MAP_FAILED ? NULL : memory;
}

int files_mount(const struct boot_ports *ports, struct err *err)
{
	struct relay r = { .device = -1 };
	char options[128];
	if (ports->files < 0)
		return mount_device(err);
	CLEANUP_FD int device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (device < 0) {
		int status = err_set(err, ERR_UNSUPPORTED, -errno, "open /dev/fuse in the guest");
		err_why(err, "the guest's kernel has no FUSE");
		return status;
	}
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", device);
	if ((mkdir(AGENT_SHARES_DIR, 0755) < 0 && errno != EEXIST) || mount("hull", AGENT_SHARES_DIR, "fuse", 0, options) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "mount the host's files in the guest");
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	if (pid > 0)
		return 0;
	r.device = device;
	r.request = reserve(FILES_SMALL_MAX);
	r.reply = reserve(FILES_SMALL_MAX + AGENT_PAYLOAD_MAX);
	/* Memory that it needs is not found by writing such files back. */
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (!r.request || !r.reply || agent_port_init(&r.port, ports->files, ports->files_ring, false) < 0)
		_exit(1);
	run(&r);
}
