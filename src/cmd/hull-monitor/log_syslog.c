/* SPDX-License-Identifier: Apache-2.0 */
/* syslog: unix and UDP datagrams, TCP streams (RFC 6587 newline framing), in
 * the formats of RFC 3164, RFC 5424 and of libc's syslog(). */
#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log_sink.h"
#include "str.h"

#define RECONNECT_NS 1000000000ll

static struct {
	const struct monitor_conf *conf;
	int fd;
	bool is_stream;
	int64_t next_try_ns;
	/* The part of a line that a TCP socket did not take. */
	char rest[LOG_LINE_MAX + 1024];
	size_t rest_len;
	char host[65];
} syslog_state = { .fd = -1 };

static int connect_unix(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (str_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
		return -ENAMETOOLONG;
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
	int r = -ENOENT;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		CLEANUP_FD int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
			syslog_state.is_stream = types[i] == SOCK_STREAM;
			syslog_state.fd = TAKE_FD(fd);
			return 0;
		}
		r = -errno;
	}
	return r;
}

/* "host:port", "[v6]:port", "host". Numeric addresses only: a static program has
 * no resolver that could be used without blocking. */
static int connect_inet(const char *text, int type)
{
	char host[80];
	uint64_t port = 514;
	const char *end = text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
	const char *start = text + (text[0] == '['), *colon = text[0] == '[' && end ? end + 1 : end;
	size_t len = end ? (size_t)(end - start) : strlen(start);
	if (len >= sizeof(host) || (colon && *colon == ':' && str_parse_u64_max(colon + 1, 65535, &port) < 0))
		return -EINVAL;
	memcpy(host, start, len);
	host[len] = '\0';
	if (strcmp(host, "localhost") == 0)
		(void)!str_copy(host, sizeof(host), "127.0.0.1");
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	bool is4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	if (!is4 && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
		return -EINVAL;
	CLEANUP_FD int fd = socket(is4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int r = is4 ? connect(fd, (struct sockaddr *)&v4, sizeof(v4)) : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
	if (r < 0 && errno != EINPROGRESS)
		return -errno;
	syslog_state.is_stream = type == SOCK_STREAM;
	syslog_state.fd = TAKE_FD(fd);
	return 0;
}

static int connect_any(void)
{
	const char *a = syslog_state.conf->syslog_address ? syslog_state.conf->syslog_address : "unix:///dev/log";
	if (str_starts_with(a, "unix://"))
		return connect_unix(a + 7);
	if (str_starts_with(a, "unixgram://"))
		return connect_unix(a + 11);
	if (str_starts_with(a, "udp://"))
		return connect_inet(a + 6, SOCK_DGRAM);
	if (str_starts_with(a, "tcp://"))
		return connect_inet(a + 6, SOCK_STREAM);
	return -EINVAL;
}

static int syslog_open(const struct monitor_conf *conf, int state_dirfd, struct err *err)
{
	syslog_state.conf = conf;
	if (gethostname(syslog_state.host, sizeof(syslog_state.host) - 1) < 0)
		(void)!str_copy(syslog_state.host, sizeof(syslog_state.host), "-");
	int r = connect_any();
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "connect to syslog at %s", conf->syslog_address ? conf->syslog_address : "/dev/log") : 0;
}

static size_t format_head(const struct log_line *line, char *out, size_t size)
{
	const struct monitor_conf *conf = syslog_state.conf;
	unsigned priority = conf->syslog_facility * 8 + (line->stream == 2 ? 3 : 6);
	const char *tag = conf->log_tag ? conf->log_tag : conf->log_tag_default ? conf->log_tag_default : "hull";
	char when[40] = "";
	time_t sec = (time_t)(line->wall_ns / 1000000000);
	struct tm tm;
	int n = 0;
	if (conf->syslog_format == SYSLOG_FORMAT_RFC5424 || conf->syslog_format == SYSLOG_FORMAT_RFC5424MICRO) {
		gmtime_r(&sec, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		if (conf->syslog_format == SYSLOG_FORMAT_RFC5424)
			n = snprintf(out, size, "<%u>1 %sZ %s %.48s %d %.48s - ", priority, when, syslog_state.host, tag, (int)getpid(), tag);
		else
			n = snprintf(out, size, "<%u>1 %s.%06dZ %s %.48s %d %.48s - ", priority, when,
				     (int)(line->wall_ns % 1000000000 / 1000), syslog_state.host, tag, (int)getpid(), tag);
	} else {
		localtime_r(&sec, &tm);
		strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
		if (conf->syslog_format == SYSLOG_FORMAT_RFC3164)
			n = snprintf(out, size, "<%u>%s %s %s[%d]: ", priority, when, syslog_state.host, tag, (int)getpid());
		else
			n = snprintf(out, size, "<%u>%s %s[%d]: ", priority, when, tag, (int)getpid());
	}
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void drop_connection(void)
{
	cleanup_fd(&syslog_state.fd);
	syslog_state.rest_len = 0;
	syslog_state.next_try_ns = clock_mono_ns() + RECONNECT_NS;
}

static int push_rest(void)
{
	while (syslog_state.rest_len) {
		ssize_t n = send(syslog_state.fd, syslog_state.rest, syslog_state.rest_len, MSG_NOSIGNAL);
		if (n < 0)
			return -errno;
		memmove(syslog_state.rest, syslog_state.rest + n, syslog_state.rest_len - (size_t)n);
		syslog_state.rest_len -= (size_t)n;
	}
	return 0;
}

static int send_line(const struct log_line *line)
{
	char head[512];
	size_t head_len = format_head(line, head, sizeof(head)), len = line->len;
	if (len && line->text[len - 1] == '\n')
		len--;
	int r = push_rest();
	if (r < 0)
		return r;
	struct iovec iov[3] = { { head, head_len }, { (void *)(uintptr_t)line->text, len }, { (void *)(uintptr_t)"\n", 1 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = syslog_state.is_stream ? 3 : 2 };
	ssize_t n = sendmsg(syslog_state.fd, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	/* A stream may take a part: the rest goes before the next line. */
	for (size_t i = 0; syslog_state.is_stream && i < 3; i++) {
		size_t done = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len, left = iov[i].iov_len - done;
		n -= (ssize_t)done;
		memcpy(syslog_state.rest + syslog_state.rest_len, (char *)iov[i].iov_base + done, left);
		syslog_state.rest_len += left;
	}
	return 0;
}

static int syslog_write(const struct log_line *line)
{
	if (syslog_state.fd < 0) {
		if (clock_mono_ns() < syslog_state.next_try_ns)
			return -ENOTCONN;
		int r = connect_any();
		if (r < 0) {
			drop_connection();
			return r;
		}
	}
	int r = send_line(line);
	if (r < 0 && r != -EAGAIN) {
		/* A restarted syslogd: once more, on a new socket. */
		drop_connection();
		if (connect_any() == 0)
			r = send_line(line);
	}
	return r == -ENOBUFS ? -EAGAIN : r;
}

static uint64_t syslog_flush(int *ret_why)
{
	if (syslog_state.fd >= 0)
		(void)push_rest();
	return 0;
}

const struct log_driver_ops log_syslog_ops = { .open = syslog_open, .write = syslog_write, .flush = syslog_flush };
