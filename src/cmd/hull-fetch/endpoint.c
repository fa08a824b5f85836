/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <string.h>

#define STALL_MS 30000
#define TRIES 5

/* "10.0.0.0/8" holds the address @host, which is not a name. */
static bool is_in_network(const char *network, const char *host)
{
	const char *slash = strchr(network, '/');
	uint64_t bits;
	unsigned char a[16], b[16];
	if (!slash || str_parse_u64_max(slash + 1, 128, &bits) < 0)
		return false;
	CLEANUP_FREE char *base = str_ndup(network, (size_t)(slash - network));
	int family = strchr(base, ':') ? AF_INET6 : AF_INET;
	if ((family == AF_INET && bits > 32) || inet_pton(family, base, a) != 1 || inet_pton(family, host, b) != 1)
		return false;
	size_t bytes = bits / 8, rest = bits % 8;
	return memcmp(a, b, bytes) == 0 && (!rest || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

static bool is_listed(const struct strv *list, const struct web_address *a)
{
	CLEANUP_FREE char *with_port = str_printf("%s:%u", a->host, a->port);
	CLEANUP_FREE char *v6_port = str_printf("[%s]:%u", a->host, a->port);
	for (size_t i = 0; i < list->n; i++)
		if (is_in_network(list->v[i], a->host))
			return true;
	return strv_contains(list, a->host) || strv_contains(list, with_port) || strv_contains(list, v6_port);
}

bool session_allows_http(const struct session *s, const struct web_address *a)
{
	return host_is_loopback(a->host) || is_listed(&s->open.options.insecure, a);
}

void session_tls(const struct session *s, const struct endpoint *e, const struct web_address *a, struct tls_setup *tls)
{
	*tls = (struct tls_setup){ .is_insecure = is_listed(&s->open.options.insecure, a) };
	certs_get(s->certs, a, e->certs_name, tls);
}

static void set_base(struct endpoint *e, bool is_https, const char *authority, const char *path)
{
	size_t n = strlen(path);
	while (n && path[n - 1] == '/')
		n--;
	free(e->base);
	e->base = str_printf("http%s://%s%.*s", is_https ? "s" : "", authority, (int)n, path);
}

/* "host[:port]" of a URL that has been parsed. */
static char *authority_of(const char *url)
{
	const char *s = strstr(url, "://") + 3;
	return str_ndup(s, strcspn(s, "/?"));
}

static int add_mirror(struct session *s, const char *url, struct err *err)
{
	struct endpoint *e = &s->endpoints[s->endpoints_n];
	int r = web_address_parse(url, &e->address, err);
	if (r < 0)
		return err_context(err, r, "mirror %s", url);
	e->is_http_allowed = session_allows_http(s, &e->address);
	if (!e->address.is_https && !e->is_http_allowed) {
		r = err_set(err, ERR_DENIED, 0, "mirror %s: plain HTTP is not allowed", url);
		err_hint(err, "name it in insecure-registries, or use https");
		web_address_done(&e->address);
		return r;
	}
	CLEANUP_FREE char *authority = authority_of(url);
	set_base(e, e->address.is_https, authority, e->address.path);
	e->certs_name = TAKE_PTR(authority);
	e->is_mirror = true;
	/* The scheme is said. */
	e->is_probed = true;
	pthread_mutex_init(&e->lock, NULL);
	s->endpoints_n++;
	return 0;
}

static int add_origin(struct session *s, struct err *err)
{
	struct endpoint *e = &s->endpoints[s->endpoints_n];
	const char *name = s->open.registry;
	/* Docker Hub's references have another host than its registry. */
	const char *authority = str_eq(name, "docker.io") ? "registry-1.docker.io" : name;
	CLEANUP_FREE char *url = str_printf("https://%s/", authority);
	int r = web_address_parse(url, &e->address, err);
	if (r < 0)
		return err_context(err, r, "registry %s", name);
	e->is_http_allowed = session_allows_http(s, &e->address);
	e->is_probed = !e->is_http_allowed;
	set_base(e, true, authority, "");
	e->certs_name = str_dup(name);
	pthread_mutex_init(&e->lock, NULL);
	s->endpoints_n++;
	return 0;
}

int session_init(struct session *s, struct fetch_open *open, struct err *err)
{
	struct fetch_options *o = &open->options;
	*s = (struct session){ .open = *open, .stall_ms = o->stall_ms ? o->stall_ms : STALL_MS,
			       .tries = o->tries ? o->tries : TRIES };
	*open = (struct fetch_open){ 0 };
	o = &s->open.options;
	int r = certs_load(o->certs_dir ? o->certs_dir : "/etc/docker/certs.d", &s->certs, err);
	for (size_t i = 0; r == 0 && i < o->mirrors.n && s->endpoints_n + 1 < ENDPOINTS_MAX; i++)
		r = add_mirror(s, o->mirrors.v[i], err);
	return r < 0 ? r : add_origin(s, err);
}

struct endpoint *session_origin(struct session *s)
{
	return &s->endpoints[s->endpoints_n - 1];
}

/* One GET of the registry's root. */
static int ping(struct session *s, struct endpoint *e, CURL *curl, enum http_trouble *ret_trouble, struct err *err)
{
	CLEANUP_FREE char *url = str_printf("%s/v2/", e->base);
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	struct http_request q = { .method = "GET", .url = url, .stall_ms = s->stall_ms };
	session_tls(s, e, &e->address, &q.tls);
	int r = http_run(curl, &q, &res, ret_trouble, err);
	/* What servers say that expect TLS and hear plain text. */
	if (r == 0 && !e->address.is_https && res.status == 400)
		*ret_trouble = HTTP_NOT_TLS;
	return r;
}

static void set_scheme(struct endpoint *e, bool is_https)
{
	CLEANUP_FREE char *authority = authority_of(e->base);
	e->address.is_https = is_https;
	if (!strchr(authority, ':') || str_ends_with(authority, "]"))
		e->address.port = is_https ? 443 : 80;
	set_base(e, is_https, authority, e->address.path);
}

/* This machine's own registries mostly speak plain HTTP, and nobody listens in
 * between; other ones that may do so are asked for TLS first. */
static int probe(struct session *s, struct endpoint *e, CURL *curl, struct err *err)
{
	enum http_trouble trouble = HTTP_FINE;
	struct err first = ERR_INIT;
	bool is_https = !host_is_loopback(e->address.host);
	for (unsigned i = 0; i < 2; i++, is_https = !is_https) {
		struct err now = ERR_INIT;
		set_scheme(e, is_https);
		int r = ping(s, e, curl, &trouble, &now);
		if (trouble == HTTP_FINE)
			return 0;
		if (i == 0)
			first = now;
		/* Not there at all, or a certificate of somebody else. */
		bool is_other_scheme_likely = trouble == HTTP_NOT_TLS || trouble == HTTP_CUT ||
					      (trouble == HTTP_UNREACHABLE && strcspn(s->open.registry, ":") == strlen(s->open.registry));
		if (r < 0 && (!is_other_scheme_likely || now.kind == ERR_TIMEOUT)) {
			*err = now;
			return r;
		}
	}
	set_scheme(e, !host_is_loopback(e->address.host));
	if (err_is_set(&first)) {
		*err = first;
		return first.errnum < 0 ? first.errnum : -EIO;
	}
	return err_set(err, ERR_SYSTEM, 0, "%s speaks neither HTTP nor TLS", s->open.registry);
}

int endpoint_probe(struct session *s, struct endpoint *e, CURL *curl, struct err *err)
{
	int r = 0;
	pthread_mutex_lock(&e->lock);
	if (!e->is_probed) {
		r = probe(s, e, curl, err);
		e->is_probed = r == 0;
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}
