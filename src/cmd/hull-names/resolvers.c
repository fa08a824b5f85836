/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>

#include "clock.h"
#include "fd.h"
#include "names_proto.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define DNS_PORT 53
#define LOOK_AGAIN_NS 1000000000LL

void resolvers_add(struct resolvers *r, const char *text)
{
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");
	union resolver *a = &r->list[r->n];
	if (r->n == RESOLVERS_MAX || len >= sizeof(bare) || str_eq(text, NAMES_ADDRESS))
		return;
	memcpy(bare, text, len);
	bare[len] = '\0';
	*a = (union resolver){ 0 };
	if (inet_pton(AF_INET, bare, &a->in4.sin_addr) == 1) {
		a->in4.sin_family = AF_INET;
		a->in4.sin_port = htons(DNS_PORT);
	} else if (inet_pton(AF_INET6, bare, &a->in6.sin6_addr) == 1) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(DNS_PORT);
		a->in6.sin6_scope_id = text[len] ? if_nametoindex(text + len + 1) : 0;
	} else {
		return;
	}
	r->n++;
}

void resolvers_parse(struct resolvers *r, const char *text)
{
	CLEANUP_STRV struct strv lines = { 0 };
	strv_split(&lines, text, '\n');
	for (size_t i = 0; i < lines.n; i++) {
		char *line = lines.v[i];
		if (!str_starts_with(line, "nameserver") || !strchr(" \t", line[10]) || !line[10])
			continue;
		line += 10 + strspn(line + 10, " \t");
		line[strcspn(line, " \t\r#;")] = '\0';
		resolvers_add(r, line);
	}
}

const struct resolvers *host_resolvers(struct host_resolvers *h)
{
	struct stat st = { 0 };
	int64_t now = clock_mono_ns();
	if (h->looked_ns && now - h->looked_ns < LOOK_AGAIN_NS)
		return &h->now;
	h->looked_ns = now;
	/* Mostly a link that somebody replaces: what it leads to is looked at. One
	 * that cannot be read just now leaves what was known. */
	if (stat(RESOLV_CONF, &st) < 0)
		return &h->now;
	if (st.st_ino == h->seen.st_ino && st.st_dev == h->seen.st_dev && st.st_size == h->seen.st_size &&
	    st.st_mtim.tv_sec == h->seen.st_mtim.tv_sec && st.st_mtim.tv_nsec == h->seen.st_mtim.tv_nsec)
		return &h->now;
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	if (fd_read_file_at(AT_FDCWD, RESOLV_CONF, &text) < 0)
		return &h->now;
	h->seen = st;
	h->now.n = 0;
	resolvers_parse(&h->now, buf_str(&text));
	return &h->now;
}
