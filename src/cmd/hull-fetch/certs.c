/* SPDX-License-Identifier: Apache-2.0 */
#include "certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "fd.h"

#define FILE_MAX (4u << 20)
#define HOSTS_MAX 256

struct host_certs {
	char *host;
	struct buf authorities, certificate, key;
};

struct certs {
	struct host_certs hosts[HOSTS_MAX];
	size_t n;
};

void certs_free(struct certs *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		free(c->hosts[i].host);
		buf_free(&c->hosts[i].authorities);
		buf_free(&c->hosts[i].certificate);
		buf_free(&c->hosts[i].key);
	}
	free(c);
}

static struct buf *target(struct host_certs *h, const char *name)
{
	return str_ends_with(name, ".crt")    ? &h->authorities
	       : str_ends_with(name, ".cert") ? &h->certificate
	       : str_ends_with(name, ".key")  ? &h->key
					      : NULL;
}

static int read_host(int dir_fd, struct host_certs *h, struct err *err)
{
	CLEANUP_DIR DIR *dir = fdopendir(dir_fd);
	if (!dir)
		return err_set(err, ERR_SYSTEM, -errno, "read the certificates of %s", h->host);
	for (struct dirent *e; (e = readdir(dir));) {
		struct buf *to = e->d_name[0] == '.' ? NULL : target(h, e->d_name);
		int r = to ? fd_read_file_at(dirfd(dir), e->d_name, to) : 0;
		if (r == 0 && to)
			r = buf_append_char(to, '\n');
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "read the certificate %s of %s", e->d_name, h->host);
	}
	return 0;
}

/* libcurl takes either its own bundle or the one given: both, then. */
static int add_system_authorities(struct host_certs *h)
{
	static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
					       "/etc/ssl/cert.pem" };
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
		int r = fd_read_file_at(AT_FDCWD, bundles[i], &h->authorities);
		if (r != -ENOENT)
			return r;
	}
	return 0;
}

int certs_load(const char *path, struct certs **ret, struct err *err)
{
	struct certs *c = mem_calloc(1, sizeof(*c));
	CLEANUP_DIR DIR *dir = opendir(path);
	int r = dir || errno == ENOENT || errno == ENOTDIR ? 0 : err_set(err, ERR_SYSTEM, -errno, "read %s", path);
	for (struct dirent *e; r == 0 && dir && c->n < HOSTS_MAX && (e = readdir(dir));) {
		int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		struct host_certs *h = &c->hosts[c->n++];
		*h = (struct host_certs){ str_dup(e->d_name), BUF_INIT(FILE_MAX), BUF_INIT(FILE_MAX), BUF_INIT(FILE_MAX) };
		r = read_host(fd, h, err);
		if (r == 0 && h->authorities.len && add_system_authorities(h) < 0)
			r = err_set(err, ERR_SYSTEM, 0, "read the system's certificates");
	}
	if (r < 0) {
		certs_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

static const struct host_certs *find(const struct certs *c, const char *host)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcasecmp(c->hosts[i].host, host) == 0)
			return &c->hosts[i];
	return NULL;
}

void certs_get(const struct certs *c, const struct web_address *a, const char *fallback, struct tls_setup *tls)
{
	CLEANUP_FREE char *with_port = strchr(a->host, ':') ? str_printf("[%s]:%u", a->host, a->port)
							     : str_printf("%s:%u", a->host, a->port);
	const struct host_certs *h = find(c, with_port), *other = NULL;
	if (!h)
		h = find(c, a->host);
	if (!h && fallback)
		other = find(c, fallback);
	if (h && h->authorities.len)
		tls->authorities = &h->authorities;
	else if (other && other->authorities.len)
		tls->authorities = &other->authorities;
	if (h && h->certificate.len && h->key.len) {
		tls->certificate = &h->certificate;
		tls->key = &h->key;
	}
}
