/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: elements of the maps of firewall.c. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "firewall.h"
#include "netlink.h"
#include "socket_holder.h"

#define PUBLISH_MAX 16384
/* For each port one of a map, and one of a set unless it is for the host alone. */
#define ELEMENTS_PER_PORT 2

static uint8_t protocol_number(const char *name)
{
	if (strcmp(name, "udp") == 0)
		return IPPROTO_UDP;
	if (strcmp(name, "sctp") == 0)
		return IPPROTO_SCTP;
	return IPPROTO_TCP;
}

static bool is_every_address(const char *ip)
{
	return !ip[0] || strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0;
}

static bool is_loopback(const struct ip_address *a)
{
	return a->family == AF_INET ? a->bytes[0] == 127 : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)a->bytes);
}

static void put_service(struct nft_element *e, const struct spec_port *port)
{
	uint8_t protocol = protocol_number(port->protocol);
	uint16_t host_port = htons(port->host_port);
	nft_put_part(e->key, &e->key_len, &protocol, 1);
	nft_put_part(e->key, &e->key_len, &host_port, 2);
}

/* Where strangers come: none for a part of the loopback. */
static int proxied_element(const struct spec_port *port, const struct ip_address *host, struct nft_element *list, size_t *n)
{
	struct nft_element e = { 0 };
	bool v4 = !strchr(port->host_ip[0] ? port->host_ip : "::", ':');
	if (port->way == PORT_PART_BY_PROXY || (host->family && is_loopback(host)))
		return 0;
	if (host->family)
		nft_put_part(e.key, &e.key_len, host->bytes, v4 ? 4 : 16);
	put_service(&e, port);
	e.set = v4 ? (host->family ? "proxied4_addr" : "proxied4") : host->family ? "proxied6_addr" : "proxied6";
	list[(*n)++] = e;
	return 0;
}

/* Appends up to ELEMENTS_PER_PORT. */
static int port_elements(const struct spec_port *port, struct nft_element *list, size_t *n, struct err *err)
{
	struct ip_address target, host = { 0 };
	struct nft_element e = { 0 };
	uint16_t container_port = htons(port->container_port);

	if (ip_parse(port->container_ip, &target) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid container address %s", port->container_ip);
	bool v4 = target.family == AF_INET;
	if (!is_every_address(port->host_ip) && ip_parse(port->host_ip, &host) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid IP address: %s", port->host_ip);
	if (port->way != PORT_BY_KERNEL)
		return proxied_element(port, &host, list, n);
	if (host.family) {
		if (host.family != target.family)
			return err_set(err, ERR_INVALID, 0, "cannot publish on %s: the container has no address of that family",
				       port->host_ip);
		nft_put_part(e.key, &e.key_len, host.bytes, v4 ? 4 : 16);
	}
	put_service(&e, port);
	if (!is_loopback(&host) || !host.family) {
		e.set = v4 ? (host.family ? "open4_addr" : "open4") : host.family ? "open6_addr" : "open6";
		list[(*n)++] = e;
	}
	nft_put_part(e.data, &e.data_len, target.bytes, v4 ? 4 : 16);
	nft_put_part(e.data, &e.data_len, &container_port, 2);
	e.set = v4 ? (host.family ? "ports4_addr" : "ports4") : host.family ? "ports6_addr" : "ports6";
	list[(*n)++] = e;
	return 0;
}

static bool is_ip6(const struct spec_port *port)
{
	return strchr(port->host_ip[0] ? port->host_ip : port->container_ip, ':');
}

static int socket_address(const struct spec_port *port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	bool every = is_every_address(port->host_ip);
	if (is_ip6(port)) {
		struct sockaddr_in6 *v6 = (void *)ret;
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port->host_port) };
		*ret_len = sizeof(*v6);
		return every || inet_pton(AF_INET6, port->host_ip, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	struct sockaddr_in *v4 = (void *)ret;
	*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port->host_port) };
	*ret_len = sizeof(*v4);
	return every || inet_pton(AF_INET, port->host_ip, &v4->sin_addr) == 1 ? 0 : -EINVAL;
}

/* With the family's "every address" spelled out, IPv6 in brackets. */
static const char *shown_address(const struct spec_port *port, char out[64])
{
	if (is_ip6(port))
		snprintf(out, 64, "[%s]", port->host_ip[0] ? port->host_ip : "::");
	else
		snprintf(out, 64, "%s", port->host_ip[0] ? port->host_ip : "0.0.0.0");
	return out;
}

/* A process of the host that listens there would silently lose its traffic. */
static int check_port_is_free(const struct spec_port *port, bool name_holder, struct err *err)
{
	struct sockaddr_storage addr = { 0 };
	struct socket_holder holder;
	socklen_t len;
	char shown[64];
	int type = strcmp(port->protocol, "udp") == 0 ? SOCK_DGRAM : SOCK_STREAM;
	int protocol = strcmp(port->protocol, "sctp") == 0 ? IPPROTO_SCTP : 0;
	int on = 1;

	if (socket_address(port, &addr, &len) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid IP address: %s", port->host_ip);
	CLEANUP_FD int sock = socket(addr.ss_family, type | SOCK_CLOEXEC, protocol);
	/* A kernel without SCTP or IPv6 has no process that listens by it. */
	if (sock < 0)
		return errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT ? 0 : err_set(err, ERR_SYSTEM, errno, "open a socket");
	/* A connection in TIME_WAIT is no holder; of UDP two could have the port. */
	if (type == SOCK_STREAM)
		(void)setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr.ss_family == AF_INET6)
		(void)setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(sock, (struct sockaddr *)&addr, len) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return err_set(err, ERR_SYSTEM, errno, "failed to bind host port %s:%u/%s", shown_address(port, shown), port->host_port,
			       port->protocol);
	int r = err_set(err, ERR_CONFLICT, 0, "failed to bind host port %s:%u/%s: address already in use",
			shown_address(port, shown), port->host_port, port->protocol);
	if (name_holder && socket_holder_find(port->protocol, port->host_port, &holder))
		err_why(err, "the process %s (pid %d) of this host listens there", holder.name, holder.pid);
	return r;
}

bool net_port_is_free(const struct spec_port *port)
{
	struct err ignored = ERR_INIT;
	return check_port_is_free(port, false, &ignored) == 0;
}

/* Its monitor has a part of it, so nobody else has the whole. */
static bool is_held(const struct spec_port *ports, size_t n, const struct spec_port *port)
{
	if (port->way != PORT_BY_KERNEL)
		return true;
	for (size_t i = 0; i < n; i++)
		if (ports[i].way != PORT_BY_KERNEL && ports[i].host_port == port->host_port && is_ip6(&ports[i]) == is_ip6(port) &&
		    strcmp(ports[i].protocol, port->protocol) == 0)
			return true;
	return false;
}

static int publish(const struct spec_port *ports, size_t n, bool is_new, struct err *err)
{
	size_t elements_n = 0;
	char shown[64];
	if (n == 0)
		return 0;
	if (n > PUBLISH_MAX)
		return err_set(err, ERR_INVALID, 0, "more than %d published ports", PUBLISH_MAX);
	CLEANUP_FREE struct nft_element *elements = mem_calloc(n * ELEMENTS_PER_PORT, sizeof(*elements));
	for (size_t i = 0; i < n; i++) {
		bool is_checked = is_new ? ports[i].way != PORT_PART_BY_PROXY : !is_held(ports, n, &ports[i]);
		int r = is_checked ? check_port_is_free(&ports[i], true, err) : 0;
		if (r == 0)
			r = port_elements(&ports[i], elements, &elements_n, err);
		if (r < 0)
			return r;
	}
	CLEANUP_FD int sock = -1;
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r == 0)
		r = nft_change_elements(sock, &firewall_table, elements, elements_n, true);
	if (r == -EEXIST)
		return err_set(err, ERR_CONFLICT, 0, "Bind for %s:%u failed: port is already allocated",
			       shown_address(&ports[0], shown), ports[0].host_port);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "publish ports");
	return 0;
}

int net_publish(const struct spec_port *ports, size_t n, struct err *err)
{
	return publish(ports, n, true, err);
}

int net_publish_again(const struct spec_port *ports, size_t n, struct err *err)
{
	return publish(ports, n, false, err);
}

/* As one transaction when all is there, as it nearly always is. */
int net_unpublish(const struct spec_port *ports, size_t n, struct err *err)
{
	CLEANUP_FD int sock = -1;
	size_t elements_n = 0;
	if (n == 0)
		return 0;
	CLEANUP_FREE struct nft_element *elements = mem_calloc(n * ELEMENTS_PER_PORT, sizeof(*elements));
	for (size_t i = 0; i < n; i++) {
		int r = port_elements(&ports[i], elements, &elements_n, err);
		if (r < 0)
			return r;
	}
	int r = nl_open(NETLINK_NETFILTER, &sock);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open a netfilter socket");
	if (nft_change_elements(sock, &firewall_table, elements, elements_n, false) == 0)
		return 0;
	for (size_t i = 0; i < elements_n; i++) {
		r = nft_change_elements(sock, &firewall_table, &elements[i], 1, false);
		if (r < 0 && r != -ENOENT)
			return err_set(err, ERR_SYSTEM, r, "take back the published ports");
	}
	return 0;
}
