/* SPDX-License-Identifier: Apache-2.0 */
/* A WWW-Authenticate header, and the realm in it as an address. */
#include <stdlib.h>
#include <string.h>

#include "auth_challenge.h"
#include "str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = str_ndup((const char *)data, size);
	CLEANUP_CHALLENGE struct challenge c = { 0 };
	CLEANUP_WEB_ADDRESS struct web_address registry = { 0 }, realm = { 0 };
	struct err err = ERR_INIT;
	enum realm_trust trust;
	if (challenge_parse(text, &c, &err) < 0)
		return 0;
	if (c.scheme == CHALLENGE_BEARER && !c.realm)
		abort();
	if (!c.realm || web_address_parse(c.realm, &realm, &err) < 0)
		return 0;
	if (strpbrk(c.realm, "\r\n @") && !strpbrk(c.realm, "/?"))
		abort();
	if (web_address_parse("https://registry.example.com/", &registry, &err) < 0)
		abort();
	/* Nothing less than TLS ever gets a password that TLS protects. */
	if (realm_check(&registry, &realm, true, &trust, &err) == 0 && !realm.is_https)
		abort();
	return 0;
}
