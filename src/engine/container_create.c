/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "config_check.h"
#include "containers.h"
#include "events.h"
#include "guest_boot.h"
#include "fault.h"
#include "image_store.h"
#include "log_options.h"
#include "networks.h"
#include "random.h"
#include "spec_builder.h"
#include "volume_mounts.h"

/* Docker's command column: the words in a row. */
static char *command_text(const struct container_config *config, const struct image_config *image)
{
	CLEANUP_STRV struct strv args = { 0 };
	struct err none = ERR_INIT;
	if (spec_args(config, image, &args, &none) < 0)
		return str_dup("");
	return strv_join(&args, " ");
}

static int choose_slot(struct engine *engine, int64_t *ret, struct err *err)
{
	int64_t slot = 0;
	int r = db_query_i64(engine->db, &slot, err, "SELECT COALESCE(MAX(slot) + 1, 0) FROM containers", "");
	if (r >= 0 && slot >= USERNS_SLOTS)
		r = db_query_i64(engine->db, &slot, err,
				 "SELECT a.slot + 1 FROM containers a WHERE a.slot IS NOT NULL AND NOT EXISTS"
				 " (SELECT 1 FROM containers b WHERE b.slot = a.slot + 1) ORDER BY a.slot LIMIT 1", "");
	if (r < 0)
		return r;
	if (slot >= USERNS_SLOTS)
		return err_set(err, ERR_CONFLICT, 0, "no range of user ids is free");
	*ret = slot;
	return 0;
}

static int name_taken(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_FREE char *id = NULL;
	int r = db_query_text(engine->db, &id, err, "SELECT id FROM containers WHERE name = ?", "s", name);
	if (r <= 0)
		return r;
	err_set(err, ERR_CONFLICT, 0,
		"Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that container to be able to reuse that name.",
		name, id);
	err_hint(err, "hull rm -f %s", name);
	return err->errnum ? err->errnum : -EEXIST;
}

static int choose_name(struct engine *engine, const char *name, char ret[256], struct err *err)
{
	int64_t any;
	if (name) {
		snprintf(ret, 256, "%s", name);
		return name_taken(engine, name, err);
	}
	for (unsigned attempt = 0; attempt < 20; attempt++) {
		char made[64];
		container_name_generate(attempt, made);
		int r = db_query_i64(engine->db, &any, err, "SELECT 1 FROM containers WHERE name = ?", "s", made);
		if (r < 0)
			return r;
		snprintf(ret, 256, "%s", made);
		if (r == 0)
			return 0;
	}
	random_hex(ret, ID_SHORT);
	return 0;
}

/* 0 is "as the image says"; in Docker's words. */
static int check_health(const struct image_health *h, struct err *err)
{
	struct {
		const char *name;
		int64_t ns;
	} const times[] = { { "Interval", h->interval_ns }, { "Timeout", h->timeout_ns }, { "StartPeriod", h->start_period_ns },
			    { "StartInterval", h->start_interval_ns } };
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (times[i].ns != 0 && times[i].ns < 1000000)
			return err_set(err, ERR_INVALID, 0, "%s in Healthcheck cannot be less than 1ms", times[i].name);
	return h->retries < 0 ? err_set(err, ERR_INVALID, 0, "Retries in Healthcheck cannot be negative") : 0;
}

static int check_config(const struct engine *engine, const struct container_config *config, enum isolation_level *ret_level,
			struct err *err)
{
	const char *level = !str_is_empty(config->isolation) ? config->isolation : config->runtime;
	const struct isolation *back_end;
	int r = isolation_level_parse(level ? level : "", ret_level, err);
	if (r == 0)
		r = isolation_get(*ret_level, &back_end, err);
	/* The container level's host is looked at by doctor, and by the start. */
	if (r == 0 && *ret_level != ISOLATION_CONTAINER)
		r = guest_boot_probe(engine->root, engine->libexec, *ret_level, err);
	if (r == 0)
		r = config_check_supported(config, err);
	if (r == 0 && guest_boot_is_needed(*ret_level))
		r = guest_boot_check(config, err);
	if (r < 0)
		return r;
	struct spec_resources limits = { 0 };
	r = spec_limits(config, &limits, err);
	spec_resources_done(&limits);
	if (r < 0)
		return r;
	struct spec_capabilities caps;
	r = spec_capabilities(&config->cap_add, &config->cap_drop, config->privileged, true, &caps, err);
	if (r < 0)
		return r;
	r = config->has_health ? check_health(&config->health, err) : 0;
	if (r < 0)
		return r;
	struct monitor_conf *conf = monitor_conf_new();
	struct log_subject nobody = { .id = "", .name = "", .image_name = "", .image_id = "" };
	static const struct strv none = { 0 };
	nobody.labels = nobody.env = &none;
	r = log_options_apply(conf, config->log_driver, &config->log_opts, &nobody, err);
	monitor_conf_free(conf);
	if (r == 0 && !str_is_empty(config->gpus))
		r = err_set(err, ERR_UNSUPPORTED, 0, "could not select device driver \"\" with capabilities: [[gpu]]");
	if (r == 0 && config->auto_remove && !str_is_empty(config->restart_policy) && !str_eq(config->restart_policy, "no"))
		r = err_set(err, ERR_INVALID, 0, "can't create 'AutoRemove' container with restart policy");
	return r;
}

static int insert_row(struct engine *engine, struct container *c, bool start, struct err *err)
{
	CLEANUP_FREE char *labels = strv_join(&c->labels, "\n");
	c->owner_pid = getpid();
	c->owner_ticks = state_process_ticks(c->owner_pid);
	c->row_status = start ? ROW_STARTED : ROW_CREATED;
	c->is_new = start;
	int r = db_run(engine->db, err,
		      "INSERT INTO containers(id, name, image, image_name, config, command, labels, level, status,"
		      " created_ns, slot, auto_remove, owner_pid, owner_ticks, is_new) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
		      " CASE WHEN ? < 0 THEN NULL ELSE ? END, ?, ?, ?, ? WHERE EXISTS(SELECT 1 FROM images WHERE id = ?)",
		      "sssssssiiiiiiiiis", c->id, c->name, c->image_id, c->image_name, c->config_text, c->command, labels,
		      (int64_t)c->level, (int64_t)c->row_status, c->created_ns, c->userns_slot, c->userns_slot,
		      (int64_t)c->auto_remove, (int64_t)c->owner_pid, (int64_t)c->owner_ticks, (int64_t)start, c->image_id);
	/* Removed by another hull since it was looked up. */
	return r == 0 ? err_set(err, ERR_NOT_FOUND, -ENOENT, "No such image: %s", c->image_name) : r;
}

/* What the image says and the user did not, so that inspect shows what runs. */
static int freeze_config(struct container *c, const struct container_config *config, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	char host[HOST_NAME_MAX + 1] = "";
	/* Borrows all the rest. */
	struct container_config frozen = *config;
	if (str_is_empty(config->hostname)) {
		bool is_host = str_eq(config->network_mode, "host") || str_eq(config->uts_mode, "host");
		if (!is_host || gethostname(host, sizeof(host) - 1) < 0)
			snprintf(host, sizeof(host), "%.*s", ID_SHORT, c->id);
		frozen.hostname = host;
	}
	int r = container_config_write(&frozen, &text);
	if (r == 0)
		r = container_config_parse(text.data, text.len, &c->config, err);
	if (r < 0)
		return err_context(err, r, "keep the configuration");
	c->config_text = buf_steal(&text);
	return 0;
}

/* What a start would make, so that a created container's volumes can be looked
 * into. */
static int make_volumes(struct engine *engine, struct container *c, const struct image *image, const struct volume_plan *plan,
			struct err *err)
{
	CLEANUP_STRV struct strv layers = { 0 };
	int r = layers_ensure_mounted(engine->store, &image->config->diffids, &layers, err);
	return r < 0 ? r : volumes_prepare(engine, c, &layers, plan, err);
}

int containers_create(struct engine *engine, const struct container_config *config, const char *name, bool start,
		     struct container **ret, struct strv *warnings, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = mem_calloc(1, sizeof(*c));
	CLEANUP_IMAGE struct image *image = NULL;
	int r = name ? container_name_check(&name, err) : 0;
	if (r == 0)
		r = check_config(engine, config, &c->level, err);
	if (r == 0)
		r = image_resolve(engine->store, config->image ? config->image : "", &image, err);
	if (r)
		return r;
	CLEANUP_STRV struct strv args = { 0 };
	r = spec_args(config, image->config, &args, err);
	if (r < 0)
		return r;
	if (start && engine->ahead_sock >= 0)
		memcpy(c->id, engine->ahead_id, sizeof(c->id));
	else
		id_generate(c->id);
	r = freeze_config(c, config, err);
	if (r < 0)
		return r;
	c->image_name = str_dup(config->image);
	snprintf(c->image_id, sizeof(c->image_id), "%s", image->id);
	c->command = command_text(config, image->config);
	strv_extend(&c->labels, &image->config->labels);
	strv_extend(&c->labels, &config->labels);
	c->created_ns = clock_wall_ns();
	c->run_root = engine->run;
	c->auto_remove = config->auto_remove;
	c->userns_slot = -1;

	CLEANUP_VOLUME_PLAN struct volume_plan volumes = { 0 };
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	bool has_volumes = volumes_wanted(config, image->config);
	char chosen[256];
	r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = choose_name(engine, name, chosen, err);
	if (r < 0)
		return r;
	c->name = str_dup(chosen);
	/* A kernel of its own always runs as somebody else. */
	if (!spec_uses_host_userns(config) || guest_boot_is_needed(c->level))
		r = choose_slot(engine, &c->userns_slot, err);
	if (r >= 0)
		r = insert_row(engine, c, start, err);
	if (r >= 0)
		r = networks_join(engine, c, err);
	if (r >= 0 && has_volumes)
		r = volumes_plan(engine, c, image->config, VOLUMES_RECORD, &volumes, err);
	if (r >= 0)
		r = event_record_container(engine, c, "create", NULL, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r < 0)
		return r;
	r = FAULT("create.row");
	if (r < 0)
		err_set(err, ERR_SYSTEM, r, "fault");
	if (r == 0 && has_volumes && !start)
		r = make_volumes(engine, c, image, &volumes, err);
	if (r < 0) {
		struct err ignored = ERR_INIT;
		c->auto_remove = true;
		if (containers_undo(engine, c->id, &ignored) < 0)
			return r; /* recovery does it */
		return r;
	}
	c->image = TAKE_PTR(image);
	c->has_no_volumes = !has_volumes;
	*ret = TAKE_PTR(c);
	return 0;
}
