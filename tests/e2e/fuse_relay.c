/* SPDX-License-Identifier: Apache-2.0 */
/* Between /dev/fuse and a stream socket, as a guest's agent does it:
 *   fuse_relay DEVICE-FD SOCKET-FD
 * Ends with either of them. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX ((1u << 20) + 4096)

static int device, sock;

static void write_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(sock, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			exit(0);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

static void *requests(void *arg)
{
	char *buf = malloc(MESSAGE_MAX);
	(void)arg;
	for (;;) {
		ssize_t n = read(device, buf, MESSAGE_MAX);
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n <= 0)
			exit(0);
		write_all(buf, (size_t)n);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc != 3)
		return 2;
	device = (int)strtol(argv[1], NULL, 10);
	sock = (int)strtol(argv[2], NULL, 10);
	if (pthread_create(&thread, NULL, requests, NULL) != 0)
		return 1;
	char *buf = malloc(MESSAGE_MAX);
	size_t have = 0;
	for (;;) {
		ssize_t n = recv(sock, buf + have, MESSAGE_MAX - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		have += (size_t)n;
		size_t at = 0;
		while (have - at >= sizeof(uint32_t)) {
			uint32_t len = *(uint32_t *)(void *)(buf + at);
			if (have - at < len)
				break;
			if (write(device, buf + at, len) < 0 && errno != ENOENT && errno != EINTR)
				fprintf(stderr, "relay: reply of %u bytes: errno %d\n", len, errno);
			at += len;
		}
		for (size_t i = at; i < have; i++)
			buf[i - at] = buf[i];
		have -= at;
	}
}
