/* SPDX-License-Identifier: Apache-2.0 */
#include "resolv_conf.h"

#include <fcntl.h>
#include <string.h>

#include "fd.h"

#define RESOLV_CONF_MAX 65536

bool resolv_conf_is_loopback(const char *server)
{
	return str_starts_with(server, "127.") || str_eq(server, "::1");
}

/* The line's words after its keyword @key, or NULL. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);
	if (strncmp(line, key, len) != 0 || !strchr(" \t", line[len]) || !line[len])
		return NULL;
	line += len;
	return line + strspn(line, " \t");
}

static int put_host_line(const char *line, const struct strv *servers, const struct strv *search,
			 const struct strv *options, struct buf *out, int *count)
{
	const char *server = value_of(line, "nameserver");
	if (server) {
		if (servers->n || resolv_conf_is_loopback(server))
			return 0;
		++*count;
	} else if (value_of(line, "search") || value_of(line, "domain")) {
		if (search->n)
			return 0;
	} else if (value_of(line, "options")) {
		if (options->n)
			return 0;
	} else {
		return 0;
	}
	return buf_printf(out, "%s\n", line);
}

static int put_given(const char *key, const struct strv *words, struct buf *out)
{
	if (words->n == 0)
		return 0;
	CLEANUP_FREE char *joined = strv_join(words, " ");
	return buf_printf(out, "%s %s\n", key, joined);
}

int resolv_conf_make(const char *host, const struct strv *servers, const struct strv *search,
		     const struct strv *options, struct buf *out)
{
	CLEANUP_STRV struct strv lines = { 0 };
	int count = 0, r = 0;

	strv_split(&lines, host, '\n');
	for (size_t i = 0; i < lines.n && r == 0; i++)
		r = put_host_line(lines.v[i], servers, search, options, out, &count);
	for (size_t i = 0; i < servers->n && r == 0; i++, count++)
		r = buf_printf(out, "nameserver %s\n", servers->v[i]);
	/* "--dns-search ." means none. */
	if (r == 0 && !(search->n == 1 && str_eq(search->v[0], ".")))
		r = put_given("search", search, out);
	if (r == 0)
		r = put_given("options", options, out);
	return r < 0 ? r : count;
}

/* @key's words of the host's last such line. */
static void take_host_words(const char *host, const char *key, struct strv *ret)
{
	CLEANUP_STRV struct strv lines = { 0 };
	strv_split(&lines, host, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		const char *words = value_of(lines.v[i], key);
		if (!words)
			continue;
		strv_free(ret);
		*ret = (struct strv){ 0 };
		while (*words) {
			size_t len = strcspn(words, " \t\r");
			CLEANUP_FREE char *word = str_ndup(words, len);
			strv_add(ret, word);
			words += len + strspn(words + len, " \t\r");
		}
	}
}

static bool has_ndots(const struct strv *options)
{
	for (size_t i = 0; i < options->n; i++) {
		if (str_starts_with(options->v[i], "ndots:"))
			return true;
	}
	return false;
}

int resolv_conf_make_local(const char *host, const char *local, const struct strv *servers, const struct strv *search,
			   const struct strv *options, struct buf *out)
{
	CLEANUP_STRV struct strv domains = { 0 };
	CLEANUP_STRV struct strv chosen = { 0 };
	if (search->n) {
		strv_extend(&domains, search);
	} else {
		take_host_words(host, "domain", &domains);
		take_host_words(host, "search", &domains);
	}
	if (options->n)
		strv_extend(&chosen, options);
	else
		take_host_words(host, "options", &chosen);
	if (!has_ndots(&chosen))
		strv_add(&chosen, "ndots:0");
	int r = buf_printf(out, "nameserver %s\n", local);
	for (size_t i = 0; i < servers->n && r == 0; i++) {
		if (resolv_conf_is_loopback(servers->v[i]) && !str_eq(servers->v[i], local))
			r = buf_printf(out, "nameserver %s\n", servers->v[i]);
	}
	if (r == 0 && !(domains.n == 1 && str_eq(domains.v[0], ".")))
		r = put_given("search", &domains, out);
	return r < 0 ? r : put_given("options", &chosen, out);
}

static bool has_usable_server(const char *text)
{
	CLEANUP_STRV struct strv lines = { 0 };
	strv_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		const char *server = value_of(lines.v[i], "nameserver");
		if (server && !resolv_conf_is_loopback(server))
			return true;
	}
	return false;
}

int resolv_conf_read_host(struct buf *out)
{
	CLEANUP_BUF struct buf upstream = BUF_INIT(RESOLV_CONF_MAX);
	int r = fd_read_file_at(AT_FDCWD, "/etc/resolv.conf", out);
	if (r < 0 && r != -ENOENT)
		return r;
	if (has_usable_server(buf_str(out)))
		return 0;
	r = fd_read_file_at(AT_FDCWD, "/run/systemd/resolve/resolv.conf", &upstream);
	if (r < 0 || !has_usable_server(buf_str(&upstream)))
		return r == -ENOENT ? 0 : r;
	buf_clear(out);
	return buf_append(out, upstream.data, upstream.len);
}
