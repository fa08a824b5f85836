/* SPDX-License-Identifier: Apache-2.0 */
/* journald by its native protocol (systemd's JOURNAL_NATIVE_PROTOCOL): one
 * datagram an entry, through a sealed memfd when it is too large for one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "buf.h"
#include "fd.h"
#include "log_sink.h"
#include "str.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static int sock = -1;
static struct buf fields = { .max = 65536 }; /* the same for every entry */

static struct sockaddr_un journal_address(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("HULL_JOURNAL_SOCKET"); /* for tests */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path ? path : JOURNAL_SOCKET);
	return addr;
}

/* With newlines in it a value goes with its length instead of "=". */
static void put_field(const char *key, const char *value)
{
	uint64_t len = strlen(value);
	int r = buf_append_str(&fields, key);
	if (!strchr(value, '\n')) {
		r |= buf_append_char(&fields, '=');
	} else {
		r |= buf_append_char(&fields, '\n');
		r |= buf_append(&fields, &len, sizeof(len)); /* little endian, as all hosts of hull */
	}
	r |= buf_append_str(&fields, value);
	r |= buf_append_char(&fields, '\n');
	(void)r;
}

/* Journal field names are upper-case letters, digits and underscores. */
static void put_attr(const char *pair)
{
	char key[64];
	size_t n = strcspn(pair, "=");
	if (!pair[n] || !n || n >= sizeof(key))
		return;
	for (size_t i = 0; i < n; i++) {
		char c = pair[i];
		key[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
	}
	key[n] = '\0';
	put_field(key, pair + n + 1);
}

static int journald_open(const struct monitor_conf *conf, int state_dirfd, struct err *err)
{
	const char *tag = conf->log_tag ? conf->log_tag : conf->log_tag_default ? conf->log_tag_default : conf->id;
	char short_id[16];
	snprintf(short_id, sizeof(short_id), "%.12s", conf->id);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sock < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket for journald");
	int size = 1 << 20;
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	put_field("CONTAINER_ID", short_id);
	put_field("CONTAINER_ID_FULL", conf->id);
	put_field("CONTAINER_NAME", conf->name ? conf->name : "");
	put_field("CONTAINER_TAG", tag);
	put_field("SYSLOG_IDENTIFIER", tag);
	put_field("IMAGE_NAME", conf->image ? conf->image : "");
	for (size_t i = 0; i < conf->log_attrs.n; i++)
		put_attr(conf->log_attrs.v[i]);
	return 0;
}

static int send_large(struct msghdr *msg)
{
	CLEANUP_FD int fd = memfd_create("hull-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		int r = fd_write_all(fd, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
		if (r < 0)
			return r;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr empty = { .msg_name = msg->msg_name, .msg_namelen = msg->msg_namelen, .msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&empty);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &empty, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int journald_write(const struct log_line *line)
{
	static const char partial[] = "CONTAINER_PARTIAL_MESSAGE=true\n";
	struct sockaddr_un addr = journal_address();
	const char *priority = line->stream == 2 ? "PRIORITY=3\nMESSAGE\n" : "PRIORITY=6\nMESSAGE\n";
	uint64_t len = line->len;
	if (len && line->text[len - 1] == '\n')
		len--;
	struct iovec iov[6] = { { fields.data, fields.len }, { (void *)(uintptr_t)priority, strlen(priority) },
				{ &len, sizeof(len) }, { (void *)(uintptr_t)line->text, len },
				{ (void *)(uintptr_t)"\n", 1 }, { (void *)(uintptr_t)partial, sizeof(partial) - 1 } };
	struct msghdr msg = { .msg_name = &addr, .msg_namelen = sizeof(addr), .msg_iov = iov, .msg_iovlen = line->is_partial ? 6 : 5 };
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EMSGSIZE || errno == ENOBUFS ? send_large(&msg) : -errno;
}

static uint64_t journald_flush(int *ret_why)
{
	return 0;
}

const struct log_driver_ops log_journald_ops = { .open = journald_open, .write = journald_write, .flush = journald_flush };
