/* SPDX-License-Identifier: Apache-2.0 */
/* What a name server has to know of one container:
 * $HULL_RUN/names/<container id>, written by the engine when the container is
 * started, connected, disconnected or renamed, removed when it has ended, read
 * by hull-names. One file a container: a start writes its own and reads no
 * other, and whoever cleans up after a container knows its name.
 *
 * Lines of words, so that the server needs no JSON parser:
 *
 *   name web
 *   link db postgres                     another's name for this container alone
 *   dns 192.0.2.53                       --dns; none: the host's resolvers
 *   ndots                                the user chose one: Docker answers single
 *                                        labels itself then
 *   restricted                           it may not reach everything outside: of the
 *                                        world it may ask for the names of egress only
 *   out                                  a network without names leads out, too
 *   net ID NAME internal|open SUBNET4 SUBNET6 ADDRESS4 ADDRESS6     "-": none
 *   alias cache                          in the network of the last net line
 *   own ADDRESS                          all it has, in networks without names too
 *   egress api.example.com 6 443 443     a name that it may reach: protocol number,
 *                                        first and last port
 *
 * Unknown lines are ignored. The words come from users, the file from hull. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "str.h"

struct name_address {
	uint8_t len; /* 4, 16; 0: none */
	uint8_t bytes[16];
	uint8_t prefix;
};
/* "10.0.0.1" or "10.0.0.0/8"; -EINVAL. */
int name_address_parse(const char *text, struct name_address *ret) MUST_CHECK;
#define NAME_ADDRESS_TEXT 52
const char *name_address_format(const struct name_address *a, bool with_prefix, char out[NAME_ADDRESS_TEXT]);
bool name_address_covers(const struct name_address *subnet, const uint8_t *address, size_t len);

struct name_net {
	char *id, *name;
	bool is_internal; /* nothing leaves it: no question either */
	struct name_address subnet4, subnet6, address4, address6;
	struct strv aliases;
};

struct name_egress {
	char *name;
	uint8_t protocol;
	uint16_t first, last;
};

struct name_record {
	char *name;
	struct strv links; /* alias, name, alias, name, ... */
	struct strv servers;
	bool has_ndots;
	bool leads_out; /* by a network without names, too */
	bool is_restricted;
	struct name_net *nets;
	size_t nets_n;
	struct name_address *own;
	size_t own_n;
	struct name_egress *egress;
	size_t egress_n;
};
#define NAME_RECORD_MAX_BYTES (256u << 10)

struct name_net *name_record_add_net(struct name_record *r, const char *id, const char *name);
void name_record_add_own(struct name_record *r, const struct name_address *address);
void name_record_add_egress(struct name_record *r, const char *name, uint8_t protocol, uint16_t first, uint16_t last);
void name_record_done(struct name_record *r);
#define CLEANUP_NAME_RECORD CLEANUP(name_record_done)

/* Words that cannot stand in a line (white space, control characters) are left
 * out: nobody could ask for them. */
int name_record_format(const struct name_record *r, struct buf *out) MUST_CHECK;
/* Changes @text. -EINVAL for what hull does not write. *ret is the caller's also
 * then. */
int name_record_parse(char *text, struct name_record *ret) MUST_CHECK;
