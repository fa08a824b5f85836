/* SPDX-License-Identifier: Apache-2.0 */
/* Who is called what, on which network: the records of all containers
 * (name_record.h) behind one hash table. A container knows the names of the
 * networks it is on and no other. */
#pragma once

#include "dns.h"
#include "name_record.h"
#include "names_proto.h"

struct net {
	char *id;
	struct dns_name name;
	unsigned users;
	struct net *next;
};

/* A name, or an address, of one container in one network. */
struct entry {
	uint64_t hash;
	const struct net *net;
	const struct container *owner;
	const struct name_net *end; /* of the owner's record */
	struct entry *next;         /* in the bucket */
	struct entry *next_of_owner;
	uint8_t len;
	uint8_t key[];
};

struct link_name {
	struct dns_name alias, name;
};

struct container {
	char id[NAMES_ID_SIZE];
	struct container *next;
	bool has_record;
	/* Its sockets were given back: it has ended, whether or not its record is
	 * gone yet. */
	bool is_down;
	struct name_record record;
	struct net **nets; /* of record.nets */
	struct entry *entries;
	struct link_name *links;
	size_t links_n;
	unsigned users;    /* conversations */
	unsigned doors;    /* of these, with sockets */
	unsigned forwards; /* under way */
};

struct directory {
	int dirfd; /* $HULL_RUN/names */
	struct container *containers[256];
	struct net *nets;
	struct entry **buckets;
	size_t buckets_n, entries_n;
	unsigned turn; /* of round robin */
};

int directory_init(struct directory *d, int dirfd) MUST_CHECK;
void directory_done(struct directory *d);
/* Read every record anew. */
void directory_load_all(struct directory *d);
/* Read the record of @id anew; one that is gone, or is not understood, is
 * forgotten. */
void directory_load(struct directory *d, const char *id);
/* The same with the record given, for tests: takes @text apart. */
int directory_put(struct directory *d, const char *id, char *text) MUST_CHECK;

/* The container, made if it is not known yet; give back with directory_unuse(). */
struct container *directory_use(struct directory *d, const char *id);
void directory_unuse(struct directory *d, struct container *c);

/* More of one name are not told: a client takes the first few. */
#define FOUND_MAX 512
struct found {
	bool is_known; /* the name exists, if without such addresses */
	size_t n;
	const uint8_t *address[FOUND_MAX];
};
/* Addresses of @len bytes (4 or 16) of @name as @c knows it, another first each time. */
void directory_find(struct directory *d, const struct container *c, const struct dns_name *name, size_t len, struct found *ret);
/* Who has the address on a network of @c: "name.network". */
bool directory_find_address(struct directory *d, const struct container *c, const uint8_t *address, size_t len,
			    struct dns_name *ret);
/* Is the address of a network of @c? Then nobody else is asked about it. */
bool directory_covers(const struct container *c, const uint8_t *address, size_t len);
/* May it reach something by this name? */
bool directory_has_egress(const struct container *c, const struct dns_name *name);
/* Is there a network by which it may ask the world? */
bool directory_is_open(const struct container *c);
