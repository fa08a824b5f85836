/* SPDX-License-Identifier: Apache-2.0 */
#include "hosts_files.h"

#include <fcntl.h>
#include <string.h>

#include "cleanup.h"
#include "fd.h"
#include "names_proto.h"
#include "resolv_conf.h"

#define FILE_MAX (1 << 18)

static int write_text(int dirfd, const char *name, const struct buf *text, struct err *err)
{
	/* The inode stays over restarts: a container that shares this one's network
	 * has the file mounted. */
	CLEANUP_FD int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int r = fd < 0 ? -errno : text->len ? fd_write_all(fd, text->data, text->len) : 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write %s", name) : 0;
}

/* "name:address", "name=address", and "host-gateway" for where the host is. */
static int put_extra_host(const char *spec, const char *host_address, struct buf *text)
{
	const char *sep = strpbrk(spec, ":=");
	if (!sep)
		return 0;
	const char *address = str_eq(sep + 1, "host-gateway") ? host_address : sep + 1;
	return buf_printf(text, "%s\t%.*s\n", address, (int)(sep - spec), spec);
}

/* "address name.domain name" */
static int put_own(const char *address, const struct container_config *c, const char *name, struct buf *text)
{
	size_t len = strcspn(address, "/"), short_len = strcspn(name, ".");
	if (!str_is_empty(c->domainname))
		return buf_printf(text, "%.*s\t%s.%s %s\n", (int)len, address, name, c->domainname, name);
	if (name[short_len])
		return buf_printf(text, "%.*s\t%s %.*s\n", (int)len, address, name, (int)short_len, name);
	return buf_printf(text, "%.*s\t%s\n", (int)len, address, name);
}

static const char *own_name(const struct container_config *c)
{
	return !str_is_empty(c->hostname) ? c->hostname : "localhost";
}

/* Where the host answers: the first gateway there is. */
static const char *host_address(const struct hosts_inputs *in)
{
	for (size_t i = 0; i < in->interfaces_n; i++)
		if (in->interfaces[i].gateway4[0])
			return in->interfaces[i].gateway4;
	for (size_t i = 0; i < in->interfaces_n; i++)
		if (in->interfaces[i].gateway6[0])
			return in->interfaces[i].gateway6;
	return "127.0.0.1";
}

static int make_hosts(const struct hosts_inputs *in, struct buf *text)
{
	const struct container_config *c = in->config;
	bool is_host = str_eq(c->network_mode, "host");
	int r = is_host ? fd_read_file_at(AT_FDCWD, "/etc/hosts", text) : -ENOENT;
	if (r == -ENOENT)
		r = buf_append_str(text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
					 "fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	for (size_t i = 0; r == 0 && i < c->extra_hosts.n; i++)
		r = put_extra_host(c->extra_hosts.v[i], host_address(in), text);
	for (size_t i = 0; r == 0 && in->links && i < in->links->n; i++)
		r = buf_printf(text, "%s\n", in->links->v[i]);
	for (size_t i = 0; r == 0 && i < in->interfaces_n; i++) {
		if (in->interfaces[i].address4[0])
			r = put_own(in->interfaces[i].address4, c, own_name(c), text);
		if (r == 0 && in->interfaces[i].address6[0])
			r = put_own(in->interfaces[i].address6, c, own_name(c), text);
	}
	return r;
}

static int make_resolv_conf(const struct container_config *c, bool has_name_server, struct buf *text)
{
	CLEANUP_BUF struct buf host = BUF_INIT(FILE_MAX);
	/* A resolver on the loopback is reached from the host's own network. */
	if (str_eq(c->network_mode, "host") && c->dns.n + c->dns_search.n + c->dns_options.n == 0) {
		int r = fd_read_file_at(AT_FDCWD, "/etc/resolv.conf", text);
		return r == -ENOENT ? 0 : r;
	}
	int r = resolv_conf_read_host(&host);
	if (r >= 0 && has_name_server)
		return resolv_conf_make_local(buf_str(&host), NAMES_ADDRESS, &c->dns, &c->dns_search, &c->dns_options, text);
	if (r >= 0)
		r = resolv_conf_make(buf_str(&host), &c->dns, &c->dns_search, &c->dns_options, text);
	return r < 0 ? r : 0;
}

int hosts_files_write(const struct hosts_inputs *in, int dirfd, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	int r = buf_printf(&text, "%s\n", own_name(in->config));
	if (r == 0)
		r = write_text(dirfd, "hostname", &text, err);
	buf_clear(&text);
	if (r == 0)
		r = make_hosts(in, &text);
	if (r == 0)
		r = write_text(dirfd, "hosts", &text, err);
	buf_clear(&text);
	if (r == 0)
		r = make_resolv_conf(in->config, in->has_name_server, &text);
	if (r == 0)
		r = write_text(dirfd, "resolv.conf", &text, err);
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "write the hosts files") : r;
}

/* hosts as it is, whatever the workload has made of it, without the lines of
 * @address. */
static int read_without(int dirfd, const char *address, struct buf *out)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	size_t len = strlen(address);
	int r = fd_read_file_at(dirfd, "hosts", &text);
	for (const char *line = buf_str(&text); r == 0 && *line;) {
		size_t n = strcspn(line, "\n");
		n += line[n] == '\n';
		if (strncmp(line, address, len) != 0 || (line[len] != '\t' && line[len] != ' '))
			r = buf_append(out, line, n);
		line += n;
	}
	return r;
}

int hosts_files_add(int dirfd, const struct container_config *c, const char *address, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	int r = read_without(dirfd, address, &text);
	if (r == 0 && text.len && text.data[text.len - 1] != '\n')
		r = buf_append_str(&text, "\n");
	if (r == 0)
		r = put_own(address, c, own_name(c), &text);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "change hosts") : write_text(dirfd, "hosts", &text, err);
}

int hosts_files_use_names(int dirfd, const struct container_config *c, struct err *err)
{
	CLEANUP_BUF struct buf now = BUF_INIT(FILE_MAX);
	CLEANUP_BUF struct buf plain = BUF_INIT(FILE_MAX);
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	int r = fd_read_file_at(dirfd, "resolv.conf", &now);
	if (r == 0)
		r = make_resolv_conf(c, false, &plain);
	if (r == 0 && !str_eq(buf_str(&now), buf_str(&plain)))
		return 0;
	if (r == 0)
		r = make_resolv_conf(c, true, &text);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "change resolv.conf") : write_text(dirfd, "resolv.conf", &text, err);
}

int hosts_files_drop(int dirfd, const char *address, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);
	int r = read_without(dirfd, address, &text);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "change hosts") : write_text(dirfd, "hosts", &text, err);
}
