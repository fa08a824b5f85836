/* SPDX-License-Identifier: Apache-2.0 */
#include "networks.h"

#include <string.h>

#include "net_attach.h"

int networks_check_mode(struct engine *engine, const char *mode, struct err *err)
{
	static const char *const known[] = { "", "default", "bridge", "none", "host" };
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(mode ? mode : "", known[i]))
			return 0;
	if (str_starts_with(mode, "container:"))
		return 0;
	return err_set(err, ERR_NOT_FOUND, 0, "failed to set up container networking: network %s not found", mode);
}

int networks_reserve(struct engine *engine, struct container *c, struct runtime_spec *spec, struct err *err)
{
	return networks_check_mode(engine, c->config->network_mode, err);
}

int networks_release(struct engine *engine, const char *id, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct spec_interface ifs[16] = { 0 };
	size_t n = 0;
	int r = db_query(engine->db, &row, err, "SELECT host_name FROM endpoints WHERE container = ?", "s", id);
	while (r >= 0 && n < ARRAY_LEN(ifs) && (r = db_next(row, err)) > 0)
		if (db_text(row, 0))
			ifs[n++].host_name = str_dup(db_text(row, 0));
	if (r >= 0 && n)
		r = net_detach(ifs, n, err);
	for (size_t i = 0; i < n; i++)
		free(ifs[i].host_name);
	if (r >= 0 && n)
		r = db_run(engine->db, err, "DELETE FROM endpoints WHERE container = ?", "s", id);
	return r < 0 ? r : 0;
}
