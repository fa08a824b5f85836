/* SPDX-License-Identifier: Apache-2.0 */
#include "name_record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8
/* A file with more than these is none of ours. */
#define NETS_MAX 256
#define EGRESS_MAX 1024

int name_address_parse(const char *text, struct name_address *ret)
{
	char bare[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	uint64_t prefix;
	*ret = (struct name_address){ 0 };
	if (len >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, len);
	bare[len] = '\0';
	if (inet_pton(AF_INET, bare, ret->bytes) == 1)
		ret->len = 4;
	else if (inet_pton(AF_INET6, bare, ret->bytes) == 1)
		ret->len = 16;
	else
		return -EINVAL;
	prefix = 8u * ret->len;
	if (slash && str_parse_u64_max(slash + 1, prefix, &prefix) < 0) {
		ret->len = 0;
		return -EINVAL;
	}
	ret->prefix = (uint8_t)prefix;
	return 0;
}

const char *name_address_format(const struct name_address *a, bool with_prefix, char out[NAME_ADDRESS_TEXT])
{
	char bare[INET6_ADDRSTRLEN];
	if (!a->len || !inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->bytes, bare, sizeof(bare)))
		return "-";
	if (with_prefix)
		snprintf(out, NAME_ADDRESS_TEXT, "%s/%u", bare, a->prefix);
	else
		snprintf(out, NAME_ADDRESS_TEXT, "%s", bare);
	return out;
}

bool name_address_covers(const struct name_address *subnet, const uint8_t *address, size_t len)
{
	unsigned whole = subnet->prefix / 8, rest = subnet->prefix % 8;
	if (!subnet->len || subnet->len != len || memcmp(subnet->bytes, address, whole) != 0)
		return false;
	return rest == 0 || (subnet->bytes[whole] ^ address[whole]) >> (8 - rest) == 0;
}

struct name_net *name_record_add_net(struct name_record *r, const char *id, const char *name)
{
	struct name_net *nets = mem_calloc(r->nets_n + 1, sizeof(*nets));
	if (r->nets_n)
		memcpy(nets, r->nets, r->nets_n * sizeof(*nets));
	free(r->nets);
	r->nets = nets;
	struct name_net *net = &nets[r->nets_n++];
	net->id = str_dup(id);
	net->name = str_dup(name);
	return net;
}

static void *one_more(void *list, size_t n, size_t size)
{
	char *more = reallocarray(list, n + 1, size);
	if (!more)
		abort();
	memset(more + n * size, 0, size);
	return more;
}

void name_record_add_own(struct name_record *r, const struct name_address *address)
{
	r->own = one_more(r->own, r->own_n, sizeof(*r->own));
	r->own[r->own_n++] = *address;
}

void name_record_add_egress(struct name_record *r, const char *name, uint8_t protocol, uint16_t first, uint16_t last)
{
	r->egress = one_more(r->egress, r->egress_n, sizeof(*r->egress));
	r->egress[r->egress_n++] = (struct name_egress){ str_dup(name), protocol, first, last };
}

void name_record_done(struct name_record *r)
{
	for (size_t i = 0; i < r->egress_n; i++)
		free(r->egress[i].name);
	free(r->egress);
	free(r->own);
	free(r->name);
	strv_free(&r->links);
	strv_free(&r->servers);
	for (size_t i = 0; i < r->nets_n; i++) {
		free(r->nets[i].id);
		free(r->nets[i].name);
		strv_free(&r->nets[i].aliases);
	}
	free(r->nets);
	*r = (struct name_record){ 0 };
}

/* ---- writing ---- */

static bool is_word(const char *s)
{
	if (str_is_empty(s))
		return false;
	for (; *s; s++) {
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	}
	return true;
}

static int put_words(const char *key, const struct strv *words, size_t together, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i + together <= words->n; i += together) {
		if (!is_word(words->v[i]) || (together == 2 && !is_word(words->v[i + 1])))
			continue;
		r = together == 2 ? buf_printf(out, "%s %s %s\n", key, words->v[i], words->v[i + 1]) :
				    buf_printf(out, "%s %s\n", key, words->v[i]);
	}
	return r;
}

static int put_net(const struct name_net *n, struct buf *out)
{
	char s4[NAME_ADDRESS_TEXT], s6[NAME_ADDRESS_TEXT], a4[NAME_ADDRESS_TEXT], a6[NAME_ADDRESS_TEXT];
	if (!is_word(n->id) || !is_word(n->name))
		return -EINVAL;
	int r = buf_printf(out, "net %s %s %s %s %s %s %s\n", n->id, n->name, n->is_internal ? "internal" : "open",
			   name_address_format(&n->subnet4, true, s4), name_address_format(&n->subnet6, true, s6),
			   name_address_format(&n->address4, false, a4), name_address_format(&n->address6, false, a6));
	return r < 0 ? r : put_words("alias", &n->aliases, 1, out);
}

int name_record_format(const struct name_record *rec, struct buf *out)
{
	int r = is_word(rec->name) ? buf_printf(out, "name %s\n", rec->name) : -EINVAL;
	if (r == 0 && rec->has_ndots)
		r = buf_append_str(out, "ndots\n");
	if (r == 0 && rec->is_restricted)
		r = buf_append_str(out, "restricted\n");
	if (r == 0 && rec->leads_out)
		r = buf_append_str(out, "out\n");
	if (r == 0)
		r = put_words("link", &rec->links, 2, out);
	if (r == 0)
		r = put_words("dns", &rec->servers, 1, out);
	for (size_t i = 0; r == 0 && i < rec->nets_n; i++)
		r = put_net(&rec->nets[i], out);
	for (size_t i = 0; r == 0 && i < rec->own_n; i++) {
		char text[NAME_ADDRESS_TEXT];
		r = buf_printf(out, "own %s\n", name_address_format(&rec->own[i], false, text));
	}
	for (size_t i = 0; r == 0 && i < rec->egress_n; i++) {
		const struct name_egress *e = &rec->egress[i];
		if (is_word(e->name))
			r = buf_printf(out, "egress %s %u %u %u\n", e->name, e->protocol, e->first, e->last);
	}
	return r;
}

/* ---- reading ---- */

static int take_address(const char *word, size_t len, struct name_address *ret)
{
	*ret = (struct name_address){ 0 };
	if (str_eq(word, "-"))
		return 0;
	return name_address_parse(word, ret) < 0 || ret->len != len ? -EINVAL : 0;
}

static int take_net(char *const *word, size_t n, struct name_record *ret)
{
	if (n != 8 || ret->nets_n == NETS_MAX)
		return -EINVAL;
	struct name_net *net = name_record_add_net(ret, word[1], word[2]);
	net->is_internal = str_eq(word[3], "internal");
	int r = net->is_internal || str_eq(word[3], "open") ? 0 : -EINVAL;
	if (r == 0)
		r = take_address(word[4], 4, &net->subnet4);
	if (r == 0)
		r = take_address(word[5], 16, &net->subnet6);
	if (r == 0)
		r = take_address(word[6], 4, &net->address4);
	return r == 0 ? take_address(word[7], 16, &net->address6) : r;
}

static int take_own(const char *word, struct name_record *ret)
{
	struct name_address a;
	if (ret->own_n == 2 * NETS_MAX || name_address_parse(word, &a) < 0)
		return -EINVAL;
	name_record_add_own(ret, &a);
	return 0;
}

static int take_egress(char *const *word, struct name_record *ret)
{
	uint64_t protocol, first, last;
	if (ret->egress_n == EGRESS_MAX || str_parse_u64_max(word[2], UINT8_MAX, &protocol) < 0 ||
	    str_parse_u64_max(word[3], UINT16_MAX, &first) < 0 || str_parse_u64_max(word[4], UINT16_MAX, &last) < 0 || last < first)
		return -EINVAL;
	name_record_add_egress(ret, word[1], (uint8_t)protocol, (uint16_t)first, (uint16_t)last);
	return 0;
}

static int take_line(char *line, struct name_record *ret)
{
	char *word[WORDS_MAX], *rest = NULL;
	size_t n = 0;
	for (char *w = strtok_r(line, " ", &rest); w && n < WORDS_MAX; w = strtok_r(NULL, " ", &rest))
		word[n++] = w;
	if (n == 0)
		return 0;
	if (str_eq(word[0], "net"))
		return take_net(word, n, ret);
	if (str_eq(word[0], "own"))
		return n == 2 ? take_own(word[1], ret) : -EINVAL;
	if (str_eq(word[0], "egress"))
		return n == 5 ? take_egress(word, ret) : -EINVAL;
	if (str_eq(word[0], "ndots"))
		ret->has_ndots = true;
	else if (str_eq(word[0], "out"))
		ret->leads_out = true;
	else if (str_eq(word[0], "restricted"))
		ret->is_restricted = true;
	else if (str_eq(word[0], "link") && n == 3) {
		strv_add(&ret->links, word[1]);
		strv_add(&ret->links, word[2]);
	} else if (n == 2 && str_eq(word[0], "dns")) {
		strv_add(&ret->servers, word[1]);
	} else if (n == 2 && str_eq(word[0], "name") && !ret->name) {
		ret->name = str_dup(word[1]);
	} else if (n == 2 && str_eq(word[0], "alias") && ret->nets_n) {
		strv_add(&ret->nets[ret->nets_n - 1].aliases, word[1]);
	} else if (str_eq(word[0], "link") || str_eq(word[0], "dns") || str_eq(word[0], "name") || str_eq(word[0], "alias")) {
		return -EINVAL;
	}
	return 0;
}

int name_record_parse(char *text, struct name_record *ret)
{
	char *rest = NULL;
	int r = 0;
	*ret = (struct name_record){ 0 };
	for (char *line = strtok_r(text, "\n", &rest); line && r == 0; line = strtok_r(NULL, "\n", &rest))
		r = take_line(line, ret);
	return r == 0 && !ret->name ? -EINVAL : r;
}
