/* SPDX-License-Identifier: Apache-2.0 */
/* What a rename that was cut short left to do; containers_rename() itself is in
 * containers.h. */
#pragma once

#include "engine.h"

/* The name server and the rules are told of names that are recorded already. */
int rename_recover(struct engine *engine, struct err *err) MUST_CHECK;
