/* SPDX-License-Identifier: Apache-2.0 */
/* names-load ADDRESS NAME...: ask the name server at ADDRESS, port 53, for the
 * addresses of the names in turn; first one question at a time, then with as many
 * under way as its queue takes. One line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "dns.h"

#define SINGLE 5000
#define WINDOW 64
#define SECONDS 3
#define NAMES_MAX 1024

struct query {
	uint8_t data[512];
	size_t len;
};

static struct query queries[NAMES_MAX];
static size_t queries_n;

static void add_query(const char *text)
{
	struct dns_name name;
	struct query *q = &queries[queries_n++];
	const uint8_t header[DNS_HEADER_SIZE] = { 0, 0, 1, 0, 0, 1 };
	if (dns_name_parse(text, &name) < 0 || queries_n == NAMES_MAX)
		exit(2);
	memcpy(q->data, header, sizeof(header));
	memcpy(q->data + DNS_HEADER_SIZE, name.wire, name.len);
	memcpy(q->data + DNS_HEADER_SIZE + name.len, "\0\1\0\1", 4);
	q->len = DNS_HEADER_SIZE + name.len + 4u;
}

static void check(const uint8_t *data, ssize_t len)
{
	struct dns_message m;
	if (len < 0 || dns_parse(data, (size_t)len, &m) < 0 || dns_rcode(&m) || m.answers == 0) {
		fprintf(stderr, "names-load: no answer to a question (%s)\n", len < 0 ? strerror(errno) : "it has no address");
		exit(1);
	}
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void one_at_a_time(int fd)
{
	static int64_t took[SINGLE];
	uint8_t data[2048];
	for (size_t i = 0; i < SINGLE; i++) {
		struct query *q = &queries[i % queries_n];
		int64_t begin = clock_mono_ns();
		if (send(fd, q->data, q->len, 0) < 0)
			exit(1);
		ssize_t n = recv(fd, data, sizeof(data), 0);
		took[i] = clock_mono_ns() - begin;
		check(data, n);
	}
	qsort(took, SINGLE, sizeof(took[0]), by_size);
	printf("{\"median_us\": %.1f, \"p99_us\": %.1f, ", (double)took[SINGLE / 2] / 1000, (double)took[SINGLE * 99 / 100] / 1000);
}

static void send_some(int fd, size_t n, size_t *turn)
{
	struct mmsghdr out[WINDOW] = { 0 };
	struct iovec iov[WINDOW];
	for (size_t i = 0; i < n; i++) {
		struct query *q = &queries[(*turn)++ % queries_n];
		iov[i] = (struct iovec){ q->data, q->len };
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	for (size_t done = 0; done < n;) {
		int r = sendmmsg(fd, out + done, (unsigned)(n - done), 0);
		if (r < 0)
			exit(1);
		done += (size_t)r;
	}
}

static void many_at_once(int fd)
{
	static uint8_t data[WINDOW][2048];
	struct mmsghdr in[WINDOW] = { 0 };
	struct iovec iov[WINDOW];
	size_t turn = 0, answered = 0;
	for (size_t i = 0; i < WINDOW; i++) {
		iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	int64_t begin = clock_mono_ns(), now = begin;
	send_some(fd, WINDOW, &turn);
	while (now - begin < SECONDS * 1000000000LL) {
		int n = recvmmsg(fd, in, WINDOW, MSG_WAITFORONE, NULL);
		if (n <= 0)
			exit(1);
		for (int i = 0; i < n; i++)
			check(data[i], (ssize_t)in[i].msg_len);
		answered += (size_t)n;
		send_some(fd, (size_t)n, &turn);
		now = clock_mono_ns();
	}
	printf("\"answered\": %zu, \"seconds\": %.3f}\n", answered, (double)(now - begin) / 1e9);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
	struct timeval limit = { 5, 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (argc < 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "names-load ADDRESS NAME...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		add_query(argv[i]);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("names-load");
		return 1;
	}
	one_at_a_time(fd);
	many_at_once(fd);
	return 0;
}
