/* SPDX-License-Identifier: Apache-2.0 */
/* --egress rules, their ports and protocols, and --network-rate. The first byte
 * chooses; what is taken has to keep what the parsers promise to the firewall. */
#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "egress.h"
#include "run_flags.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ports(uint16_t first, uint16_t last)
{
	assert((first == 0) == (last == 0) && first <= last);
}

static void check_rule(const char *text)
{
	static const char *const protocols[] = { "", "tcp", "udp", "sctp", "icmp", NULL };
	struct err err = ERR_INIT;
	struct egress e;
	size_t i = 0;
	if (egress_parse(text, &e, &err) < 0) {
		assert(err.kind == ERR_INVALID && err.msg[0]);
		return;
	}
	check_ports(e.port_first, e.port_last);
	while (protocols[i] && !str_eq(protocols[i], e.protocol))
		i++;
	assert(protocols[i]);
	/* Either an address or a name, and a name is one word of DNS. */
	assert(!e.name[0] == (e.address.family != 0));
	assert(e.address.family == 0 || e.address.prefix <= (e.address.family == AF_INET ? 32 : 128));
	assert(strspn(e.name, "abcdefghijklmnopqrstuvwxyz0123456789.-_*") == strlen(e.name) && !str_ends_with(e.name, "."));
	if (e.name[0])
		assert(e.port_first && e.port_last - e.port_first < EGRESS_NAME_PORTS_MAX);
}

static void check_service(const char *text)
{
	uint16_t first = 0, last = 0;
	char protocol[8];
	if (egress_parse_ports(text, &first, &last) == 0)
		check_ports(first, last);
	if (egress_parse_protocol(text, protocol) == 0)
		assert(strlen(protocol) == strspn(protocol, "abcdefghijklmnopqrstuvwxyz"));
}

static void check_rate(const char *text)
{
	struct err err = ERR_INIT;
	int64_t in = -1, out = -1;
	if (flag_parse_network_rate(text, &in, &out, &err) < 0) {
		assert(err.kind == ERR_INVALID && err.msg[0]);
		return;
	}
	assert(in >= -1 && out >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	CLEANUP_FREE char *text = str_ndup((const char *)data + 1, size - 1);
	switch (data[0]) {
	case 'e':
		check_rule(text);
		break;
	case 's':
		check_service(text);
		break;
	default:
		check_rate(text);
	}
	return 0;
}
