/* SPDX-License-Identifier: Apache-2.0 */
/* The size that a volume was limited to (`-o size=10G`), kept by the file system
 * (project_quota.h).
 *
 * A volume's project number is recorded before anything bears it, and never given
 * twice: a sweep that takes the limit of a removed volume back cannot meet a new
 * one's. */
#pragma once

#include "state.h"

/* The limit among the driver's options; 0: none. ERR_INVALID. */
int volume_quota_size(const struct strv *options, uint64_t *ret_bytes, struct err *err) MUST_CHECK;
/* Whether limits can be kept where volumes are; ERR_UNSUPPORTED with the reason. */
int volume_quota_check(struct engine *engine, struct err *err) MUST_CHECK;
/* Inside the transaction that makes, or deletes, the volume's row. */
int volume_quota_record(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
int volume_quota_forget(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
/* Put the volume's own folder @fd, with all that will be made in it, under its limit,
 * if it has one. Before that which is to be limited is made in it. Repeatable. */
int volume_quota_apply(struct engine *engine, const char *name, int fd, struct err *err) MUST_CHECK;
/* Take the limit back that the folder @fd of a removed volume has. */
void volume_quota_release(int fd);
/* What the file system counts for the volume: 1; 0: it does not. */
int volume_quota_used(struct engine *engine, const char *name, int64_t *ret_bytes);
