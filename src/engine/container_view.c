/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as ps shows and filters them. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "container_filter.h"
#include "containers.h"

char *containers_status_text(const struct container *c, int64_t now_ns)
{
	char text[32];
	const char *health = c->run.health == RUN_HEALTH_STARTING  ? " (health: starting)" :
			     c->run.health == RUN_HEALTH_HEALTHY   ? " (healthy)" :
			     c->run.health == RUN_HEALTH_UNHEALTHY ? " (unhealthy)" : "";
	switch (c->status) {
	case CONTAINER_CREATED:
		return str_dup("Created");
	case CONTAINER_RUNNING:
		return str_printf("Up %s%s", clock_human_duration(now_ns - c->started_ns, text), health);
	case CONTAINER_PAUSED:
		return str_printf("Up %s (Paused)", clock_human_duration(now_ns - c->started_ns, text));
	case CONTAINER_RESTARTING:
		return str_printf("Restarting (%d) %s ago", c->exit_code, clock_human_duration(now_ns - c->finished_ns, text));
	case CONTAINER_REMOVING:
		return str_dup("Removal In Progress");
	case CONTAINER_EXITED:
		return str_printf("Exited (%d) %s ago", c->exit_code, clock_human_duration(now_ns - c->finished_ns, text));
	default:
		return str_dup("Dead");
	}
}

int containers_list(struct engine *engine, const struct container_filter *filter, struct container ***ret, size_t *ret_n,
		   struct err *err)
{
	struct container **list;
	size_t n, kept = 0;
	bool all = filter->all || filter->last > 0;
	int r = container_filter_check(filter, &all, err);
	if (r == 0)
		r = container_list_all(engine, &list, &n, err);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (r < 0) {
			container_free(list[i]);
			continue;
		}
		/* Recovery took another process for its monitor. */
		struct err gone = ERR_INIT;
		if (list[i]->is_orphaned && containers_finish(engine, list[i]->id, &gone) == 0 &&
		    container_refresh(engine, list[i], &gone) < 0) {
			container_free(list[i]);
			continue;
		}
		bool keep = (all || container_is_running(list[i])) && !(filter->last && (int64_t)kept >= filter->last);
		if (keep && filter->pairs.n)
			keep = (r = container_filter_matches(engine, list[i], filter, err)) > 0;
		if (keep)
			list[kept++] = list[i];
		else
			container_free(list[i]);
	}
	if (r < 0) {
		container_list_free(list, kept);
		return r;
	}
	*ret = list;
	*ret_n = kept;
	return 0;
}

int containers_pids(struct container *c, pid_t **ret, size_t *ret_n, struct err *err)
{
	const struct isolation *back_end;
	struct isolation_handle handle = container_handle(c);
	if (!container_is_running(c))
		return err_set(err, ERR_CONFLICT, 0, "container %s is not running", c->id);
	int r = isolation_get(c->level, &back_end, err);
	return r < 0 ? r : back_end->pids(&handle, ret, ret_n, err);
}
