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

/* Is there a table of family inet called @name? 1, 0 or a negative errno. */
int nft_has_table(int sock, const char *name) MUST_CHECK;

struct nft_element {
	const char *set;
	uint8_t key[32];
	size_t key_len;
	uint8_t data[32]; /* maps only */
	size_t data_len;  /* 0: the element of a set */
};

/* Add or delete @n elements of sets of the inet table @table in one
 * transaction: all or none. Adding what is there with the same data is success,
 * with other data -EEXIST; deleting what is not there is -ENOENT. */
int nft_change_elements(int sock, const char *table, const struct nft_element *elements, size_t n, bool add) MUST_CHECK;
