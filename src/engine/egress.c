/* SPDX-License-Identifier: Apache-2.0 */
#include "egress.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "str.h"

int egress_parse_ports(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
	uint64_t first, last;
	const char *dash = strchr(text, '-');
	CLEANUP_FREE char *start = str_ndup(text, dash ? (size_t)(dash - text) : strlen(text));
	if (str_parse_u64_max(start, UINT16_MAX, &first) < 0 || first == 0)
		return -EINVAL;
	last = first;
	if (dash && (str_parse_u64_max(dash + 1, UINT16_MAX, &last) < 0 || last < first))
		return -EINVAL;
	*ret_first = (uint16_t)first;
	*ret_last = (uint16_t)last;
	return 0;
}

int egress_parse_protocol(const char *text, char ret[8])
{
	static const char *const known[] = { "tcp", "udp", "sctp", "icmp" };
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcasecmp(text, known[i]) == 0)
			return str_copy(ret, 8, known[i]);
	return -EINVAL;
}

/* RFC 1123, with underscores, which are in use. */
static int take_name(const char *text, char ret[EGRESS_NAME_SIZE])
{
	size_t len = strlen(text), label = 0, dots = 0;
	if (len && text[len - 1] == '.')
		len--;
	if (len == 0 || len > 253)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)text[i];
		bool is_dot = ch == '.';
		if (!is_dot && !isalnum(ch) && ch != '-' && ch != '_')
			return -EINVAL;
		label = is_dot ? 0 : label + 1;
		dots += is_dot;
		if (label > 63 || (is_dot && (i == 0 || text[i - 1] == '.')))
			return -EINVAL;
		ret[i] = (char)tolower(ch);
	}
	ret[len] = '\0';
	/* "1.2.3" or "10.0.0.300" is a slip of the pen. */
	return strspn(ret, "0123456789.") == len && dots ? -EINVAL : 0;
}

/* Cut "/udp" off, not "/24". */
static int cut_protocol(char *text, char ret[8])
{
	char *slash = strrchr(text, '/');
	if (!slash || isdigit((unsigned char)slash[1]))
		return 0;
	*slash = '\0';
	return egress_parse_protocol(slash + 1, ret);
}

/* Cut the port off: behind brackets, or behind the only colon. */
static char *cut_port(char *text, char **ret_host)
{
	*ret_host = text;
	if (*text == '[') {
		char *end = strchr(text, ']');
		if (!end)
			return NULL;
		/* "[2001:db8::]/32:443" */
		char *colon = strchr(end, ':');
		if (colon)
			*colon = '\0';
		memmove(end, end + 1, strlen(end + 1) + 1);
		*ret_host = text + 1;
		return colon ? colon + 1 : NULL;
	}
	char *colon = strchr(text, ':');
	if (!colon || strchr(colon + 1, ':'))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

int egress_parse(const char *text, struct egress *ret, struct err *err)
{
	CLEANUP_FREE char *copy = str_dup(text);
	struct egress e = { 0 };
	char *host;
	int r = cut_protocol(copy, e.protocol);
	char *port = r == 0 ? cut_port(copy, &host) : NULL;
	if (r == 0 && port)
		r = egress_parse_ports(port, &e.port_first, &e.port_last);
	if (r == 0 && ip_parse(host, &e.address) < 0)
		r = take_name(host, e.name);
	if (r == 0 && port && str_eq(e.protocol, "icmp"))
		r = -EINVAL;
	if (r < 0) {
		r = err_set(err, ERR_INVALID, 0, "invalid egress \"%s\"", text);
		err_hint(err, "api.example.com:443, 192.0.2.0/24:5432/tcp, [2001:db8::1]:443 or an address alone");
		return r;
	}
	if (e.name[0] && (!e.port_first || e.port_last - e.port_first >= EGRESS_NAME_PORTS_MAX)) {
		r = err_set(err, ERR_INVALID, 0, "invalid egress \"%s\": a name needs a port, or a range of up to %d", text,
			    EGRESS_NAME_PORTS_MAX);
		err_hint(err, "%s:443", e.name);
		return r;
	}
	if (e.port_first && !e.protocol[0])
		memcpy(e.protocol, "tcp", 4);
	*ret = e;
	return 0;
}
