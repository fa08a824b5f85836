/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration may ask for and this version does not give: refused, as
 * taking it without effect would be worse. */
#pragma once

#include "container_config.h"
#include "err.h"

/* The part of it that is about one network. */
int config_check_endpoint(const struct config_endpoint *e, struct err *err) MUST_CHECK;
int config_check_supported(const struct container_config *config, struct err *err) MUST_CHECK;
