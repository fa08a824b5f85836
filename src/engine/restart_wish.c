/* SPDX-License-Identifier: Apache-2.0 */
#include "restart_wish.h"

#include "monitor_conf.h"

bool run_policy_restarts(const struct run_state *run, const struct container_config *config)
{
	enum restart_policy policy;
	uint32_t retries = 0;
	struct err ignored = ERR_INIT;
	if (run->stopped_by_user || restart_policy_parse(config->restart_policy ? config->restart_policy : "", &policy, &retries, &ignored) < 0)
		return false;
	if (config->restart_max_retries)
		retries = (uint32_t)config->restart_max_retries;
	/* A killed monitor takes its workload along: that is a failure. */
	return policy == RESTART_ALWAYS || policy == RESTART_UNLESS_STOPPED ||
	       (policy == RESTART_ON_FAILURE && (!retries || run->restart_count < retries));
}

bool run_dies_again(const struct run_state *run)
{
	return run->status == RUN_CREATED && run->restart_count > 0;
}

bool run_was_cut_off(const struct run_state *run)
{
	return run->magic && (run->status == RUN_RUNNING || run->status == RUN_PAUSED || run->status == RUN_RESTARTING || run_dies_again(run));
}
