/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "json.h"
#include "volumes.h"

/* One object of `volume inspect`. */
void volume_write(const struct volume *volume, struct json_writer *w);
