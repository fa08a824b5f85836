/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: log-ins out of it, and back after a change. */
#include <stdlib.h>

#include "docker_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_JSON struct json *config = NULL, *changed = NULL;
	CLEANUP_REGISTRY_LOGIN struct registry_login found = { 0 };
	CLEANUP_BUF struct buf out = BUF_INIT(1u << 20);
	struct registry_login l = { .username = (char[]){ "u" }, .password = (char[]){ "p" } };
	struct err err = ERR_INIT;
	if (json_parse((const char *)data, size, "t", &config, &err) < 0 || json_kind(config) != JT_OBJECT)
		return 0;
	(void)!docker_config_login(config, "a:5", &found, &err);
	(void)docker_config_helper(config, "a:5");
	if (docker_config_change(config, "a:5", &l, &out) < 0)
		return 0;
	if (json_parse(buf_str(&out), out.len, "t", &changed, &err) < 0)
		abort();
	registry_login_done(&found);
	if (docker_config_login(changed, "a:5", &found, &err) != 1)
		abort();
	return 0;
}
