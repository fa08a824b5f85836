/* SPDX-License-Identifier: Apache-2.0 */
#include "directory.h"

#include <fcntl.h>
#include <string.h>

#include "fd.h"

#define SHORT_ID 12
#define BUCKETS_FIRST 1024u

int directory_init(struct directory *d, int dirfd)
{
	*d = (struct directory){ .dirfd = dirfd, .buckets_n = BUCKETS_FIRST };
	d->buckets = calloc(d->buckets_n, sizeof(*d->buckets));
	return d->buckets ? 0 : -ENOMEM;
}

/* FNV-1a, with the network as its beginning. */
static uint64_t hash_key(const struct net *net, const uint8_t *key, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ (uintptr_t)net;
	for (size_t i = 0; i < len; i++)
		h = (h ^ key[i]) * 0x100000001b3ULL;
	return h ^ h >> 29;
}

static void grow(struct directory *d)
{
	size_t n = d->buckets_n * 2;
	struct entry **buckets = calloc(n, sizeof(*buckets));
	if (!buckets)
		return; /* longer chains, then */
	for (size_t i = 0; i < d->buckets_n; i++) {
		while (d->buckets[i]) {
			struct entry *e = d->buckets[i];
			d->buckets[i] = e->next;
			e->next = buckets[e->hash & (n - 1)];
			buckets[e->hash & (n - 1)] = e;
		}
	}
	free(d->buckets);
	d->buckets = buckets;
	d->buckets_n = n;
}

static void add_key(struct directory *d, struct container *c, size_t net, const uint8_t *key, size_t len)
{
	struct entry *e = mem_calloc(1, sizeof(*e) + len);
	e->net = c->nets[net];
	e->hash = hash_key(e->net, key, len);
	e->owner = c;
	e->end = &c->record.nets[net];
	e->len = (uint8_t)len;
	memcpy(e->key, key, len);
	/* A name given twice (as an alias, too) is one name. */
	for (struct entry *o = c->entries; o; o = o->next_of_owner) {
		if (o->hash == e->hash && o->net == e->net && o->len == e->len && memcmp(o->key, key, len) == 0) {
			free(e);
			return;
		}
	}
	if (d->entries_n++ >= d->buckets_n)
		grow(d);
	struct entry **bucket = &d->buckets[e->hash & (d->buckets_n - 1)];
	e->next = *bucket;
	*bucket = e;
	e->next_of_owner = c->entries;
	c->entries = e;
}

static void add_name(struct directory *d, struct container *c, size_t net, const char *text)
{
	struct dns_name name;
	/* One that DNS cannot carry is one that nobody can ask for. */
	if (dns_name_parse(text, &name) == 0 && name.len > 1)
		add_key(d, c, net, name.wire, name.len);
}

static struct net *use_net(struct directory *d, const struct name_net *end)
{
	struct net *n = d->nets;
	while (n && !str_eq(n->id, end->id))
		n = n->next;
	if (!n) {
		n = mem_calloc(1, sizeof(*n));
		n->id = str_dup(end->id);
		n->next = d->nets;
		d->nets = n;
	}
	if (dns_name_parse(end->name, &n->name) < 0)
		n->name.len = 0;
	n->users++;
	return n;
}

static void unuse_net(struct directory *d, struct net *net)
{
	if (--net->users)
		return;
	struct net **at = &d->nets;
	while (*at != net)
		at = &(*at)->next;
	*at = net->next;
	free(net->id);
	free(net);
}

static void forget(struct directory *d, struct container *c)
{
	while (c->entries) {
		struct entry *e = c->entries, **at = &d->buckets[e->hash & (d->buckets_n - 1)];
		c->entries = e->next_of_owner;
		while (*at != e)
			at = &(*at)->next;
		*at = e->next;
		free(e);
		d->entries_n--;
	}
	for (size_t i = 0; i < c->record.nets_n && c->nets; i++)
		unuse_net(d, c->nets[i]);
	free(c->nets);
	c->nets = NULL;
	free(c->links);
	c->links = NULL;
	c->links_n = 0;
	name_record_done(&c->record);
	c->has_record = false;
}

static void remember(struct directory *d, struct container *c)
{
	char short_id[SHORT_ID + 1];
	memcpy(short_id, c->id, SHORT_ID);
	short_id[SHORT_ID] = '\0';
	c->nets = mem_calloc(c->record.nets_n + 1, sizeof(struct net *));
	for (size_t i = 0; i < c->record.nets_n; i++) {
		const struct name_net *end = &c->record.nets[i];
		c->nets[i] = use_net(d, end);
		add_name(d, c, i, c->record.name);
		add_name(d, c, i, short_id);
		for (size_t k = 0; k < end->aliases.n; k++)
			add_name(d, c, i, end->aliases.v[k]);
		if (end->address4.len)
			add_key(d, c, i, end->address4.bytes, 4);
		if (end->address6.len)
			add_key(d, c, i, end->address6.bytes, 16);
	}
	c->links = mem_calloc(c->record.links.n / 2 + 1, sizeof(*c->links));
	for (size_t i = 0; i + 1 < c->record.links.n; i += 2) {
		struct link_name *link = &c->links[c->links_n];
		if (dns_name_parse(c->record.links.v[i], &link->alias) == 0 && dns_name_parse(c->record.links.v[i + 1], &link->name) == 0)
			c->links_n++;
	}
	c->has_record = true;
	c->is_down = false;
}

/* ---- containers ---- */

static struct container **slot_of(struct directory *d, const char *id)
{
	uint8_t byte = 0;
	(void)!str_unhex(id, 2, &byte);
	struct container **at = &d->containers[byte];
	while (*at && !str_eq((*at)->id, id))
		at = &(*at)->next;
	return at;
}

static bool is_id(const char *id)
{
	return strlen(id) == NAMES_ID_SIZE - 1 && str_is_hex(id, NAMES_ID_SIZE - 1);
}

struct container *directory_use(struct directory *d, const char *id)
{
	if (!is_id(id))
		return NULL;
	struct container **at = slot_of(d, id);
	if (!*at) {
		*at = mem_calloc(1, sizeof(**at));
		memcpy((*at)->id, id, NAMES_ID_SIZE);
	}
	(*at)->users++;
	return *at;
}

static void drop_unused(struct directory *d, struct container *c)
{
	if (c->users || c->has_record)
		return;
	*slot_of(d, c->id) = c->next;
	free(c);
}

void directory_unuse(struct directory *d, struct container *c)
{
	c->users--;
	drop_unused(d, c);
}

int directory_put(struct directory *d, const char *id, char *text)
{
	struct name_record record = { 0 };
	struct container *c = directory_use(d, id);
	if (!c)
		return -EINVAL;
	forget(d, c);
	int r = text ? name_record_parse(text, &record) : -ENOENT;
	if (r == 0) {
		c->record = record;
		remember(d, c);
	} else {
		name_record_done(&record);
	}
	directory_unuse(d, c);
	return r;
}

void directory_load(struct directory *d, const char *id)
{
	CLEANUP_BUF struct buf text = BUF_INIT(NAME_RECORD_MAX_BYTES);
	if (!is_id(id))
		return;
	int r = fd_read_file_at(d->dirfd, id, &text);
	(void)!directory_put(d, id, r < 0 || !text.len ? NULL : text.data);
}

void directory_load_all(struct directory *d)
{
	/* Those whose record went unseen, too. */
	for (size_t i = 0; i < ARRAY_LEN(d->containers); i++) {
		for (struct container *c = d->containers[i], *next; c; c = next) {
			next = c->next;
			forget(d, c);
			drop_unused(d, c);
		}
	}
	int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		cleanup_fd(&fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		directory_load(d, e->d_name);
}

void directory_done(struct directory *d)
{
	for (size_t i = 0; i < ARRAY_LEN(d->containers); i++) {
		for (struct container *c = d->containers[i], *next; c; c = next) {
			next = c->next;
			forget(d, c);
			c->users = 0;
			drop_unused(d, c);
		}
	}
	free(d->buckets);
	d->buckets = NULL;
}

/* ---- looking ---- */

static void add_found(const uint8_t *address, size_t len, size_t wanted, struct found *ret)
{
	if (len != wanted || ret->n == FOUND_MAX)
		return;
	ret->address[ret->n++] = address;
}

static void find_in(struct directory *d, const struct net *net, const uint8_t *key, size_t key_len, size_t len, struct found *ret)
{
	uint64_t hash = hash_key(net, key, key_len);
	for (const struct entry *e = d->buckets[hash & (d->buckets_n - 1)]; e; e = e->next) {
		if (e->hash != hash || e->net != net || e->len != key_len || e->owner->is_down || memcmp(e->key, key, key_len) != 0)
			continue;
		ret->is_known = true;
		add_found(e->end->address4.bytes, e->end->address4.len, len, ret);
		add_found(e->end->address6.bytes, e->end->address6.len, len, ret);
	}
}

void directory_find(struct directory *d, const struct container *c, const struct dns_name *name, size_t len, struct found *ret)
{
	ret->is_known = false;
	ret->n = 0;
	for (size_t i = 0; i < c->links_n; i++) {
		if (dns_name_eq(name, &c->links[i].alias)) {
			name = &c->links[i].name;
			break;
		}
	}
	for (size_t i = 0; i < c->record.nets_n; i++) {
		const struct net *net = c->nets[i];
		find_in(d, net, name->wire, name->len, len, ret);
		/* "name.network", too. */
		int prefix = net->name.len ? dns_name_below(name, &net->name) : -1;
		if (prefix > 0) {
			struct dns_name inner;
			memcpy(inner.wire, name->wire, (size_t)prefix);
			inner.wire[prefix] = 0;
			inner.len = (uint8_t)(prefix + 1);
			find_in(d, net, inner.wire, inner.len, len, ret);
		}
	}
	if (ret->n < 2)
		return;
	/* Each answer begins with another. */
	const uint8_t *turned[FOUND_MAX];
	size_t first = d->turn++ % ret->n;
	for (size_t i = 0; i < ret->n; i++)
		turned[i] = ret->address[(first + i) % ret->n];
	memcpy(ret->address, turned, ret->n * sizeof(turned[0]));
}

bool directory_find_address(struct directory *d, const struct container *c, const uint8_t *address, size_t len,
			    struct dns_name *ret)
{
	for (size_t i = 0; i < c->record.nets_n; i++) {
		const struct net *net = c->nets[i];
		uint64_t hash = hash_key(net, address, len);
		for (const struct entry *e = d->buckets[hash & (d->buckets_n - 1)]; e; e = e->next) {
			if (e->hash != hash || e->net != net || e->len != len || e->owner->is_down || memcmp(e->key, address, len) != 0)
				continue;
			CLEANUP_FREE char *text = str_printf("%s.%s", e->owner->record.name, e->end->name);
			return dns_name_parse(text, ret) == 0;
		}
	}
	return false;
}

bool directory_covers(const struct container *c, const uint8_t *address, size_t len)
{
	for (size_t i = 0; i < c->record.nets_n; i++) {
		const struct name_net *n = &c->record.nets[i];
		if (name_address_covers(len == 4 ? &n->subnet4 : &n->subnet6, address, len))
			return true;
	}
	return false;
}

bool directory_has_egress(const struct container *c, const struct dns_name *name)
{
	struct dns_name own;
	for (size_t i = 0; i < c->record.egress_n; i++) {
		if (dns_name_parse(c->record.egress[i].name, &own) == 0 && dns_name_eq(&own, name))
			return true;
	}
	return false;
}

bool directory_is_open(const struct container *c)
{
	for (size_t i = 0; i < c->record.nets_n; i++) {
		if (!c->record.nets[i].is_internal)
			return true;
	}
	return c->record.leads_out;
}
