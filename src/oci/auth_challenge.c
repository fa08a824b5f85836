/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_challenge.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "str.h"

#define HEADER_MAX 8192
#define URL_MAX 2048

void challenge_done(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}

/* ---- the header (RFC 9110, 11.6.1) ---- */

static size_t token_len(const char *s)
{
	size_t n = 0;
	while (isalnum((unsigned char)s[n]) || (s[n] && strchr("!#$%&'*+-.^_`|~", s[n])))
		n++;
	return n;
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* A token or a quoted string, copied; NULL when it is neither. */
static char *take_value(const char **s)
{
	const char *p = *s;
	if (*p != '"') {
		/* Some send addresses bare. */
		size_t n = strcspn(p, ", \t\"");
		*s = p + n;
		return n ? str_ndup(p, n) : NULL;
	}
	char *out = mem_calloc(strlen(p), 1);
	size_t n = 0;
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		out[n++] = *p;
	}
	if (*p != '"') {
		free(out);
		return NULL;
	}
	*s = p + 1;
	return out;
}

static void keep(struct challenge *c, const char *name, size_t len, char *value)
{
	char **to = len == 5 && strncasecmp(name, "realm", 5) == 0     ? &c->realm
		    : len == 7 && strncasecmp(name, "service", 7) == 0 ? &c->service
		    : len == 5 && strncasecmp(name, "scope", 5) == 0   ? &c->scope
								       : NULL;
	if (to && !*to)
		*to = value;
	else
		free(value);
}

/* The parameters of one challenge; stops at the next one's scheme. */
static int read_params(const char **s, struct challenge *c)
{
	for (;;) {
		const char *p = skip_blanks(*s);
		while (*p == ',')
			p = skip_blanks(p + 1);
		size_t n = token_len(p);
		const char *after = skip_blanks(p + n);
		if (!*p || (n && *after != '=')) {
			*s = p;
			return 0;
		}
		if (!n)
			return -EINVAL;
		after = skip_blanks(after + 1);
		char *value = take_value(&after);
		if (!value)
			return -EINVAL;
		keep(c, p, n, value);
		after = skip_blanks(after);
		if (*after && *after != ',')
			return -EINVAL;
		*s = after;
	}
}

int challenge_parse(const char *header, struct challenge *ret, struct err *err)
{
	CLEANUP_CHALLENGE struct challenge best = { 0 };
	const char *s = skip_blanks(header);
	int r = strlen(header) > HEADER_MAX ? -EINVAL : 0;
	while (r == 0 && *s) {
		CLEANUP_CHALLENGE struct challenge c = { 0 };
		size_t n = token_len(s);
		if (n == 6 && strncasecmp(s, "Bearer", 6) == 0)
			c.scheme = CHALLENGE_BEARER;
		else if (n == 5 && strncasecmp(s, "Basic", 5) == 0)
			c.scheme = CHALLENGE_BASIC;
		s += n;
		if (!n || (*s && *s != ' ' && *s != '\t' && *s != ','))
			r = -EINVAL;
		else
			r = read_params(&s, &c);
		if (r == 0 && c.scheme > best.scheme) {
			challenge_done(&best);
			best = c;
			c = (struct challenge){ 0 };
		}
	}
	if (r == 0 && best.scheme == CHALLENGE_BEARER && !best.realm)
		r = -EINVAL;
	if (r < 0)
		return err_set(err, ERR_INVALID, 0, "the registry sent a WWW-Authenticate header that cannot be read");
	*ret = best;
	best = (struct challenge){ 0 };
	return 0;
}

/* ---- addresses ---- */

void web_address_done(struct web_address *a)
{
	free(a->path);
	*a = (struct web_address){ 0 };
}

static int bad_address(struct err *err, const char *why)
{
	int r = err_set(err, ERR_INVALID, 0, "invalid address");
	err_why(err, "%s", why);
	return r;
}

/* "[::1]:5000", "host:80": into @a; @len bytes. */
static int read_authority(const char *s, size_t len, struct web_address *a, struct err *err)
{
	size_t n;
	bool is_v6 = len && *s == '[';
	const char *host = s, *end = s + len, *port = NULL;
	if (is_v6) {
		const char *close = memchr(s, ']', len);
		if (!close)
			return bad_address(err, "an unfinished IPv6 address");
		host = s + 1;
		n = (size_t)(close - host);
		if (close + 1 < end && close[1] != ':')
			return bad_address(err, "text after an IPv6 address");
		port = close + 1 < end ? close + 2 : NULL;
	} else {
		const char *colon = memchr(s, ':', len);
		n = colon ? (size_t)(colon - s) : len;
		port = colon ? colon + 1 : NULL;
	}
	if (n == 0 || n >= sizeof(a->host))
		return bad_address(err, "no host, or too long a one");
	for (size_t i = 0; i < n; i++) {
		char c = (char)tolower((unsigned char)host[i]);
		if (is_v6 ? !isxdigit((unsigned char)c) && c != ':' && c != '.' : !isalnum((unsigned char)c) && c != '.' && c != '-' && c != '_')
			return bad_address(err, "the host has characters that no host has");
		a->host[i] = c;
	}
	a->host[n] = '\0';
	/* "host." is "host". */
	if (n > 1 && a->host[n - 1] == '.')
		a->host[n - 1] = '\0';
	a->port = a->is_https ? 443 : 80;
	if (port) {
		CLEANUP_FREE char *text = str_ndup(port, (size_t)(end - port));
		uint64_t v;
		if (str_parse_u64_max(text, 65535, &v) < 0 || v == 0)
			return bad_address(err, "the port is not one");
		a->port = (unsigned)v;
	}
	return 0;
}

int web_address_parse(const char *url, struct web_address *ret, struct err *err)
{
	struct web_address a = { 0 };
	size_t scheme;
	if (strncasecmp(url, "https://", 8) == 0) {
		a.is_https = true;
		scheme = 8;
	} else if (strncasecmp(url, "http://", 7) == 0) {
		scheme = 7;
	} else {
		return bad_address(err, "it begins with neither https:// nor http://");
	}
	if (strlen(url) > URL_MAX)
		return bad_address(err, "it is too long");
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || *c == '\\')
			return bad_address(err, "it has a character that addresses never have");
	const char *s = url + scheme;
	size_t len = strcspn(s, "/?#");
	if (memchr(s, '@', len))
		return bad_address(err, "it names a user");
	if (strchr(s + len, '#'))
		return bad_address(err, "it has a fragment");
	int r = read_authority(s, len, &a, err);
	if (r < 0)
		return r;
	a.path = s[len] == '/' ? str_dup(s + len) : str_printf("/%s", s + len);
	*ret = a;
	return 0;
}

bool web_address_same_origin(const struct web_address *a, const struct web_address *b)
{
	return a->is_https == b->is_https && a->port == b->port && str_eq(a->host, b->host);
}

bool host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (str_eq(host, "localhost") || str_ends_with(host, ".localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

bool host_is_link_local(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 16) == 0xa9fe;
	/* "2852039166", "0xa9fea9fe": forms that inet_aton() takes, and so curl. */
	if (*host && strspn(host, "0123456789abcdefx.") == strlen(host) && inet_aton(host, &v4))
		return (ntohl(v4.s_addr) >> 16) == 0xa9fe;
	return inet_pton(AF_INET6, host, &v6) == 1 &&
	       (IN6_IS_ADDR_LINKLOCAL(&v6) ||
		(IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 0xa9 && v6.s6_addr[13] == 0xfe));
}

/* ---- realms ---- */

static bool is_number_address(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	return inet_aton(host, &v4) || inet_pton(AF_INET6, host, &v6) == 1;
}

/* What @host shares with its siblings: "gitlab.com" of "registry.gitlab.com" and
 * of itself; NULL when that would be a public suffix ("io", "co.uk"). */
static const char *parent_domain(const char *host)
{
	const char *last = strrchr(host, '.');
	if (!last || is_number_address(host))
		return NULL;
	const char *first = strchr(host, '.');
	/* Two labels: the domain itself. */
	const char *parent = first == last ? host : first + 1;
	const char *dot = strchr(parent, '.');
	if (!dot)
		return NULL;
	/* Below a country's two letters a short label is not somebody's. */
	bool is_public = dot == strrchr(parent, '.') && strlen(dot + 1) == 2 && dot - parent <= 3;
	return is_public ? NULL : parent;
}

static bool is_same_domain(const char *registry, const char *realm)
{
	if (str_eq(registry, realm))
		return true;
	const char *parent = parent_domain(registry);
	if (!parent || is_number_address(realm))
		return false;
	size_t n = strlen(realm), p = strlen(parent);
	return str_eq(realm, parent) || (n > p && realm[n - p - 1] == '.' && str_eq(realm + n - p, parent));
}

int realm_check(const struct web_address *registry, const struct web_address *realm, bool is_http_allowed,
		enum realm_trust *ret, struct err *err)
{
	const char *why = NULL;
	if (!realm->is_https && (registry->is_https || !is_http_allowed))
		why = "it is not encrypted";
	else if (host_is_link_local(realm->host) && !str_eq(realm->host, registry->host))
		why = "it is an address of this machine's own link";
	else if (host_is_loopback(realm->host) && !host_is_loopback(registry->host))
		why = "it is this machine itself";
	if (why) {
		int r = err_set(err, ERR_DENIED, 0, "the registry wants to be logged in to at %s, which is refused",
				realm->host);
		err_why(err, "log-ins are not sent to %s: %s", realm->host, why);
		return r;
	}
	*ret = is_same_domain(registry->host, realm->host) ||
			       (host_is_loopback(registry->host) && host_is_loopback(realm->host))
		       ? REALM_FULL
		       : REALM_ANONYMOUS;
	return 0;
}
