/* SPDX-License-Identifier: Apache-2.0 */
/* nftables, two ways: whole scripts by the nft program (milliseconds, for what
 * is made once), and single set or map elements straight over nfnetlink
 * (fractions of a millisecond, for what every start does; linux/netfilter/
 * nf_tables.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Run `nft -f -` on @script as one transaction. -ENOENT when nft is not
 * installed, -EIO when it refused; its words go to @err. */
int nft_run(const char *script, struct err *err) MUST_CHECK;

/* NFPROTO_INET, NFPROTO_BRIDGE, ... with which of its tables is meant. */
struct nft_table {
	uint8_t family;
	const char *name;
};

/* Is there a set or map called @set in the table? 1, 0 or a negative errno. */
int nft_has_set(int sock, const struct nft_table *table, const char *set) MUST_CHECK;

/* The name of each set and map; a non-zero return of @visit ends it and is returned. */
int nft_visit_sets(int sock, const struct nft_table *table, int (*visit)(const char *name, void *arg), void *arg) MUST_CHECK;

/* What linux/netfilter/nf_tables.h calls NFT_DATA_VALUE_MAXLEN. */
#define NFT_KEY_MAX 64

struct nft_element {
	const char *set;
	uint8_t key[NFT_KEY_MAX];
	size_t key_len;
	uint8_t data[32]; /* maps only */
	size_t data_len;  /* 0: the element of a set */
	uint64_t timeout_ms; /* 0: for ever; the set must have the flag */
	/* Of a set of intervals: an element is where one begins, or with this where it
	 * has ended. */
	bool is_interval_end;
};

/* Append to a concatenation: each part is padded to four bytes. */
void nft_put_part(uint8_t *to, size_t *len, const void *part, size_t part_len);

/* Add or delete @n elements of sets of the table, in transactions of up to 64:
 * of each all or none. Adding what is there with the same data is success, with
 * other data -EEXIST; deleting what is not there is -ENOENT. */
int nft_change_elements(int sock, const struct nft_table *table, const struct nft_element *elements, size_t n,
			bool add) MUST_CHECK;

/* Add an element whose time begins anew if it is there already. */
int nft_renew_element(int sock, const struct nft_table *table, const struct nft_element *element) MUST_CHECK;

/* An element as the kernel has it. */
struct nft_found {
	const uint8_t *key;
	size_t key_len;
	uint64_t expires_ms; /* left; 0: never */
	uint64_t packets;    /* of its counter, if it has one */
};
/* Each element of @set; a non-zero return of @visit ends it and is returned. */
int nft_visit_elements(int sock, const struct nft_table *table, const char *set,
		       int (*visit)(const struct nft_found *found, void *arg), void *arg) MUST_CHECK;

/* A base chain of any table. */
struct nft_chain {
	uint8_t family;
	const char *table, *name;
	uint32_t hook; /* NF_INET_FORWARD, ... */
	int32_t priority;
	bool drops; /* its policy */
};
int nft_visit_base_chains(int sock, int (*visit)(const struct nft_chain *chain, void *arg), void *arg) MUST_CHECK;

struct nft_rule {
	uint64_t handle;
	const char *comment; /* "" when there is none; not terminated by more than comment_len */
	size_t comment_len;
	/* Nothing but an unconditional drop or reject (with a counter or a log). */
	bool refuses_all;
};
/* The rules of a chain in their order. */
int nft_visit_rules(int sock, const struct nft_table *table, const char *chain,
		    int (*visit)(const struct nft_rule *rule, void *arg), void *arg) MUST_CHECK;
/* -ENOENT when it is gone. */
int nft_delete_rule(int sock, const struct nft_table *table, const char *chain, uint64_t handle) MUST_CHECK;
