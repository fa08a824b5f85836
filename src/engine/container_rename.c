/* SPDX-License-Identifier: Apache-2.0 */
/* rename: the row, and what else goes by a container's name. */
#include "container_rename.h"

#include <string.h>

#include "container_lock.h"
#include "containers.h"
#include "events.h"
#include "fault.h"
#include "name_service.h"
#include "network_connect.h"
#include "network_policy.h"

/* With the container's lock: the name is read again, as the last rename left it. */
static int tell_name(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	struct err none = ERR_INIT;
	if (container_find(engine, id, &c, &none) < 0)
		return none.kind == ERR_NOT_FOUND ? 0 : (*err = none, none.errnum ? none.errnum : -EIO);
	int r = container_load_config(c, err);
	/* Rules know a container by its name, too. */
	if (r >= 0)
		r = network_policies_enter(engine, c, err);
	if (r >= 0)
		r = name_service_publish(engine, c, err);
	if (r >= 0)
		r = FAULT("rename.told");
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE containers SET is_renamed = 0 WHERE id = ? AND name = ?", "ss", id, c->name);
	return r < 0 ? r : 0;
}

int containers_rename(struct engine *engine, const char *name, const char *to, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = container_name_check(&to, err);
	if (r == 0 && str_eq(to, c->name))
		return err_set(err, ERR_INVALID, 0, "Renaming a container with the same name as its current name");
	if (r < 0)
		return r;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	CLEANUP_FREE char *other = NULL;
	r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_query_text(engine->db, &other, err, "SELECT id FROM containers WHERE name = ?", "s", to);
	if (r > 0)
		return err_set(err, ERR_CONFLICT, 0,
			       "Conflict. The container name \"/%s\" is already in use by container \"%s\". You have to remove (or rename) that container to be able to reuse that name.",
			       to, other);
	if (r >= 0)
		r = db_run(engine->db, err, "UPDATE containers SET name = ?, is_renamed = 1 WHERE id = ?", "ss", to, c->id);
	CLEANUP_FREE char *old = str_printf("oldName=/%s", c->name);
	free(c->name);
	c->name = str_dup(to);
	if (r >= 0)
		r = network_rename_endpoints(engine, c, err);
	if (r >= 0)
		r = event_record_container(engine, c, "rename", old, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r >= 0)
		r = FAULT("rename.recorded");
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	if (r >= 0)
		r = container_lock(engine, c->id, err);
	return r < 0 ? r : tell_name(engine, c->id, err);
}

int rename_recover(struct engine *engine, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_STRV struct strv ids = { 0 };
	int r = db_query(engine->db, &row, err, "SELECT id FROM containers WHERE is_renamed <> 0", "");
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&ids, db_text(row, 0));
	for (size_t i = 0; r >= 0 && i < ids.n; i++) {
		CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
		/* Whoever has it may be about to. */
		r = container_trylock(engine, ids.v[i], err);
		if (r > 0)
			r = tell_name(engine, ids.v[i], err);
	}
	return r < 0 ? r : 0;
}
