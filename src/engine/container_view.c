/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as ps shows and filters them. */
#include <stdio.h>
#include <string.h>

#include "clock.h"
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

/* ---- filters ---- */

static bool label_matches(const struct strv *labels, const char *wanted)
{
	size_t len = strlen(wanted);
	for (size_t i = 0; i < labels->n; i++) {
		const char *l = labels->v[i];
		if (strncmp(l, wanted, len) == 0 && (l[len] == '\0' || (l[len] == '=' && !strchr(wanted, '='))))
			return true;
	}
	return false;
}

static const char *const filter_keys[] = { "id", "name", "label", "status", "exited", "ancestor", "health", "isolation", NULL };

/* 1 matches, 0 not, or an error. */
static int matches_one(const struct container *c, const char *key, const char *value, struct err *err)
{
	char number[16];
	if (str_eq(key, "id"))
		return str_starts_with(c->id, value);
	if (str_eq(key, "name"))
		return strstr(c->name, *value == '/' ? value + 1 : value) != NULL;
	if (str_eq(key, "label"))
		return label_matches(&c->labels, value);
	if (str_eq(key, "status"))
		return str_eq(container_status_name(c->status), value);
	if (str_eq(key, "health"))
		return str_eq(run_health_name(c->run.health), value);
	if (str_eq(key, "isolation"))
		return str_eq(isolation_level_name(c->level), value);
	if (str_eq(key, "ancestor"))
		return str_eq(c->image_name, value) || str_starts_with(c->image_id, value) ||
		       (strlen(c->image_id) > 7 && str_starts_with(c->image_id + 7, value));
	snprintf(number, sizeof(number), "%d", c->exit_code);
	return c->status == CONTAINER_EXITED && str_eq(number, value);
}

/* Values of one key are alternatives; keys all have to match. */
static int matches(const struct container *c, const struct container_filter *f, struct err *err)
{
	for (size_t k = 0; filter_keys[k]; k++) {
		bool is_asked = false, ok = false;
		for (size_t i = 0; i < f->pairs.n; i++) {
			const char *eq = strchr(f->pairs.v[i], '=');
			size_t len = eq ? (size_t)(eq - f->pairs.v[i]) : 0;
			if (len != strlen(filter_keys[k]) || strncmp(f->pairs.v[i], filter_keys[k], len) != 0)
				continue;
			bool one = matches_one(c, filter_keys[k], eq + 1, err) > 0;
			/* All labels have to be there, any one of the others. */
			ok = is_asked && str_eq(filter_keys[k], "label") ? ok && one : ok || one;
			is_asked = true;
		}
		if (is_asked && !ok)
			return 0;
	}
	return 1;
}

static bool is_status(const char *word)
{
	static const char *const words[] = { "created", "running", "paused", "restarting", "removing", "exited", "dead", NULL };
	for (size_t i = 0; words[i]; i++)
		if (str_eq(words[i], word))
			return true;
	return false;
}

static int check_filter(const struct container_filter *f, bool *ret_all, struct err *err)
{
	for (size_t i = 0; i < f->pairs.n; i++) {
		const char *eq = strchr(f->pairs.v[i], '=');
		CLEANUP_FREE char *key = str_ndup(f->pairs.v[i], eq ? (size_t)(eq - f->pairs.v[i]) : strlen(f->pairs.v[i]));
		bool is_known = false;
		for (size_t k = 0; filter_keys[k]; k++)
			is_known |= str_eq(key, filter_keys[k]);
		if (!eq || !is_known)
			return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", key);
		if (str_eq(key, "status") && !is_status(eq + 1))
			return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", f->pairs.v[i]);
		*ret_all |= str_eq(key, "status") || str_eq(key, "exited");
	}
	return 0;
}

int containers_list(struct engine *engine, const struct container_filter *filter, struct container ***ret, size_t *ret_n,
		   struct err *err)
{
	struct container **list;
	size_t n, kept = 0;
	bool all = filter->all || filter->last > 0;
	int r = check_filter(filter, &all, err);
	if (r == 0)
		r = container_list_all(engine, &list, &n, err);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		/* Recovery took another process for its monitor. */
		struct err gone = ERR_INIT;
		if (list[i]->is_orphaned && containers_finish(engine, list[i]->id, &gone) == 0 &&
		    container_refresh(engine, list[i], &gone) < 0) {
			container_free(list[i]);
			continue;
		}
		bool keep = (all || container_is_running(list[i])) && matches(list[i], filter, err) > 0 &&
			    !(filter->last && (int64_t)kept >= filter->last);
		if (keep)
			list[kept++] = list[i];
		else
			container_free(list[i]);
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
