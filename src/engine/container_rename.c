/* SPDX-License-Identifier: Apache-2.0 */
/* rename: the row, and what else goes by a container's name. */
#include <string.h>

#include "containers.h"
#include "events.h"
#include "name_service.h"
#include "network_connect.h"
#include "network_policy.h"

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
		r = db_run(engine->db, err, "UPDATE containers SET name = ? WHERE id = ?", "ss", to, c->id);
	CLEANUP_FREE char *old = str_printf("oldName=/%s", c->name);
	free(c->name);
	c->name = str_dup(to);
	if (r >= 0)
		r = network_rename_endpoints(engine, c, err);
	if (r >= 0)
		r = event_record_container(engine, c, "rename", old, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	/* Rules know a container by its name, too. */
	if (r >= 0)
		r = network_policies_enter(engine, c, err);
	return r < 0 ? r : name_service_publish(engine, c, err);
}
