/* SPDX-License-Identifier: Apache-2.0 */
#include "network_log.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firewall_policy.h"

void network_log_done(struct network_log *log)
{
	free(log->v);
	*log = (struct network_log){ 0 };
}

struct reading {
	struct engine *engine;
	const struct network *network;
	struct network_log *log;
	struct err *err;
};

static bool is_in(const struct ip_address *a, const struct ip_address *subnet)
{
	if (a->family != subnet->family)
		return false;
	struct ip_address masked = *a;
	masked.prefix = subnet->prefix;
	struct ip_address x = ip_subnet(&masked), y = ip_subnet(subnet);
	return memcmp(x.bytes, y.bytes, sizeof(x.bytes)) == 0;
}

static bool is_of(const struct refusal *r, const struct network *n)
{
	return !n || is_in(&r->from, &n->subnet4) || is_in(&r->to, &n->subnet4) || is_in(&r->from, &n->subnet6) ||
	       is_in(&r->to, &n->subnet6);
}

/* The container that has the address now: the one of a moment ago may be gone. */
static int name_of(struct engine *engine, const struct ip_address *a, char out[80], struct err *err)
{
	char text[IP_TEXT_SIZE];
	CLEANUP_FREE char *name = NULL;
	ip_format(a, text);
	*strchrnul(text, '/') = '\0';
	int r = db_query_text(engine->db, &name, err,
			      a->family == AF_INET ? "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container WHERE e.address4 = ?" :
						     "SELECT c.name FROM endpoints e JOIN containers c ON c.id = e.container WHERE e.address6 = ?",
			      "s", text);
	snprintf(out, 80, "%s", name ? name : text);
	return r < 0 ? r : 0;
}

static const char *protocol_name(uint8_t protocol, char out[16])
{
	static const struct {
		uint8_t number;
		const char *name;
	} known[] = { { IPPROTO_TCP, "tcp" }, { IPPROTO_UDP, "udp" }, { IPPROTO_SCTP, "sctp" }, { IPPROTO_ICMP, "icmp" },
		      { IPPROTO_ICMPV6, "icmpv6" } };
	snprintf(out, 16, "%u", protocol);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].number == protocol)
			snprintf(out, 16, "%s", known[i].name);
	return out;
}

static int take(const struct refusal *refusal, void *arg)
{
	struct reading *reading = arg;
	struct network_log *log = reading->log;
	if (!is_of(refusal, reading->network))
		return 0;
	log->v = reallocarray(log->v, log->n + 1, sizeof(*log->v));
	if (!log->v)
		abort();
	struct network_log_line *l = &log->v[log->n++];
	*l = (struct network_log_line){ .port = refusal->port, .packets = refusal->packets, .ago_ms = refusal->ago_ms };
	protocol_name(refusal->protocol, l->protocol);
	int r = name_of(reading->engine, &refusal->from, l->from, reading->err);
	return r < 0 ? r : name_of(reading->engine, &refusal->to, l->to, reading->err);
}

static int newest_first(const void *a, const void *b)
{
	const struct network_log_line *x = a, *y = b;
	return x->ago_ms < y->ago_ms ? -1 : x->ago_ms > y->ago_ms;
}

int network_log_read(struct engine *engine, const char *network, struct network_log *ret, struct err *err)
{
	CLEANUP_NETWORK struct network *n = NULL;
	int r = network ? network_find(engine, network, &n, err) : 0;
	struct reading reading = { engine, n, ret, err };
	if (r == 0)
		r = firewall_visit_refused(take, &reading, err);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), newest_first);
	return r < 0 ? r : 0;
}
