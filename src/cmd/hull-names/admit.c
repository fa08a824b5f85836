/* SPDX-License-Identifier: Apache-2.0 */
#include "admit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "firewall_policy.h"
#include "names_confine.h"
#include "netlink.h"

/* Clients hold on to addresses for longer than they are told to. */
#define TTL_MIN_S 60u
#define TTL_MAX_S 86400u
#define TTL_GRACE_S 60u

/* ---- the server's side ---- */

static void take_address(void *ctx, const uint8_t *address, size_t len, uint32_t ttl)
{
	struct admit_request *r = ctx;
	if (r->addresses_n == ADMIT_ADDRESSES_MAX)
		return;
	struct admit_address *a = &r->addresses[r->addresses_n++];
	*a = (struct admit_address){ .len = (uint8_t)len, .ttl_s = ttl };
	memcpy(a->bytes, address, len);
}

int admit_ask(int sock, const struct container *c, const uint8_t *data, size_t len, uint32_t forward, uint32_t serial)
{
	struct admit_request request = { .forward = forward, .serial = serial };
	struct dns_message m;
	if (c->record.egress_n == 0)
		return 0;
	int r = dns_parse(data, len, &m);
	if (r < 0 || !directory_has_egress(c, &m.name))
		return r;
	request.name = m.name;
	r = dns_visit_addresses(data, len, &m, take_address, &request);
	if (r < 0 || request.addresses_n == 0)
		return r;
	memcpy(request.id, c->id, sizeof(request.id));
	return send(sock, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(request) ? 1 : -EAGAIN;
}

/* ---- the other ---- */

static int read_record(int names_dirfd, const char *id, struct buf *text, struct name_record *ret)
{
	size_t len = strnlen(id, NAMES_ID_SIZE);
	if (len != NAMES_ID_SIZE - 1 || !str_is_hex(id, len))
		return -EINVAL;
	CLEANUP_FD int fd = openat(names_dirfd, id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = fd < 0 ? -errno : fd_read_all(fd, text);
	return r < 0 ? r : name_record_parse(text->data, ret);
}

static struct ip_address to_ip(const uint8_t *bytes, size_t len)
{
	struct ip_address a = { .family = len == 4 ? AF_INET : AF_INET6, .prefix = (uint8_t)(8 * len) };
	memcpy(a.bytes, bytes, len);
	return a;
}

/* Each own address to each address of the name by each port of the rule. */
static int admit_rule(int filter, const struct name_record *record, const struct name_egress *rule, const struct admit_request *request)
{
	int r = 0;
	for (size_t i = 0; i < record->own_n && r == 0; i++)
		for (size_t k = 0; k < request->addresses_n && r == 0; k++) {
			const struct admit_address *to = &request->addresses[k];
			uint32_t ttl = to->ttl_s < TTL_MIN_S ? TTL_MIN_S : to->ttl_s > TTL_MAX_S ? TTL_MAX_S : to->ttl_s;
			if (record->own[i].len != to->len)
				continue;
			for (uint32_t port = rule->first; port <= rule->last && r == 0; port++) {
				struct admission a = { .from = to_ip(record->own[i].bytes, record->own[i].len), .to = to_ip(to->bytes, to->len),
						       .protocol = rule->protocol, .port = (uint16_t)port, .ttl_s = ttl + TTL_GRACE_S };
				r = firewall_admit(filter, &a, 1);
			}
		}
	return r;
}

static int admit(int names_dirfd, int filter, const struct admit_request *request)
{
	CLEANUP_BUF struct buf text = BUF_INIT(NAME_RECORD_MAX_BYTES);
	CLEANUP_NAME_RECORD struct name_record record = { 0 };
	struct dns_name own;
	int r = request->addresses_n <= ADMIT_ADDRESSES_MAX ? read_record(names_dirfd, request->id, &text, &record) : -EINVAL;
	for (size_t i = 0; r == 0 && i < record.egress_n; i++)
		if (dns_name_parse(record.egress[i].name, &own) == 0 && dns_name_eq(&own, &request->name))
			r = admit_rule(filter, &record, &record.egress[i], request);
	return r;
}

static _Noreturn void serve(int sock, int names_dirfd)
{
	struct admit_request request;
	int filter;
	(void)prctl(PR_SET_NAME, "hull-names-fw");
	if (nl_open(NETLINK_NETFILTER, &filter) < 0 || confine_admit() < 0)
		_exit(1);
	/* The end of the server is the end of this. */
	for (ssize_t n; (n = recv(sock, &request, sizeof(request), 0)) != 0;) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(request))
			_exit(1);
		request.id[NAMES_ID_SIZE - 1] = '\0';
		struct admit_reply reply = { request.forward, request.serial, admit(names_dirfd, filter, &request) };
		if (send(sock, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
			_exit(1);
	}
	_exit(0);
}

int admit_start(int names_dirfd, int *ret_sock, struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pair of sockets");
	pid_t pid = fork();
	if (pid == 0) {
		/* Not the lock, the listener, or the server's end. */
		if (dup2(pair[1], 3) < 0 || dup2(names_dirfd, 4) < 0)
			_exit(1);
		fd_close_from(5);
		serve(3, 4);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	}
	*ret_sock = pair[0];
	return 0;
}
