/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a run whose monitor has died is to be started once more. */
#pragma once

#include "container_config.h"
#include "run_state.h"

/* The monitor had not noted an end. After a reboot there is no run state: then it is
 * for engine_boot(). */
bool run_was_cut_off(const struct run_state *run);
/* What the policy says of one that was. */
bool run_policy_restarts(const struct run_state *run, const struct container_config *config);
/* Its monitor was starting it once more. */
bool run_dies_again(const struct run_state *run);
