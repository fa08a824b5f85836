/* SPDX-License-Identifier: Apache-2.0 */
/* The mini-languages in the values of run's options, one function each. All
 * append to @c, leave it consistent on failure, and say in Docker's words what
 * is wrong. They take any bytes (fuzzed). */
#pragma once

#include "container_config.h"

/* -p [ip:][host[-end]:]container[-end][/proto]; also exposes. */
int flag_parse_publish(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --expose port[-end][/proto] */
int flag_parse_expose(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* -v [source:]target[:options]; a relative source is made absolute. */
int flag_parse_volume(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --mount type=bind,source=...,target=... */
int flag_parse_mount(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --tmpfs path[:options] */
int flag_parse_tmpfs(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --device host[:container][:rwm] */
int flag_parse_device(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
int flag_check_device_rule(const char *value, struct err *err) MUST_CHECK;
/* --ulimit name=soft[:hard] */
int flag_parse_ulimit(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --restart policy[:retries] */
int flag_parse_restart(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --device-read-bps and the like: path:rate. */
int flag_parse_throttle(struct config_blkio **list, size_t *n, const char *value, bool is_bytes, struct err *err) MUST_CHECK;
int flag_parse_weight(struct config_blkio **list, size_t *n, const char *value, struct err *err) MUST_CHECK;
/* --network name, or name=...,alias=...,ip=... */
int flag_parse_network(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
/* --add-host name:ip or name=ip, as "name:ip". */
int flag_parse_add_host(struct container_config *c, const char *value, struct err *err) MUST_CHECK;
int flag_check_sysctl(const char *value, struct err *err) MUST_CHECK;
/* Lines of KEY=value; KEY alone is taken from hull's own environment when
 * @from_environ, else becomes "KEY=". */
int flag_read_pairs(struct strv *out, const char *path, bool from_environ, struct err *err) MUST_CHECK;
/* What --env-file and --env add to @out. */
int flag_env(struct strv *out, const struct strv *files, const struct strv *pairs, struct err *err) MUST_CHECK;
/* Text of such a file. */
int flag_parse_pairs(struct strv *out, const char *text, const char *path, bool from_environ, struct err *err) MUST_CHECK;
