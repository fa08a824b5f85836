/* SPDX-License-Identifier: Apache-2.0 */
/* `--change` of import and commit: one Dockerfile instruction on an image's
 * configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER,
 * VOLUME, WORKDIR. */
#pragma once

#include "image_config.h"

/* ERR_INVALID names the instruction that cannot be understood. */
int image_change_apply(struct image_config *config, const char *instruction, struct err *err) MUST_CHECK;
