/* SPDX-License-Identifier: Apache-2.0 */
#include "image_store.h"

#include <string.h>

#include "clock.h"
#include "digest.h"
#include "fault.h"
#include "reference.h"

void image_free(struct image *image)
{
	if (!image)
		return;
	free(image->text);
	image_config_free(image->config);
	free(image->parent);
	free(image);
}

/* ---- finding ---- */

static int no_such_image(const char *name, struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	if (!digest_is_valid(name) && reference_parse(name, true, &ref, NULL) == 0) {
		CLEANUP_FREE char *full = reference_full(&ref);
		return err_set(err, ERR_NOT_FOUND, 0, "No such image: %s", reference_familiar(full));
	}
	return err_set(err, ERR_NOT_FOUND, 0, "No such image: %s", name);
}

/* 1 and the id, 0 for none. */
static int find_id(struct store *store, struct err *err, char ret_id[72], const char *sql, const char *key)
{
	CLEANUP_FREE char *id = NULL;
	int r = db_query_text(store->db, &id, err, sql, "s", key);
	if (r > 0)
		snprintf(ret_id, 72, "%s", id);
	return r;
}

static int find_by_reference(struct store *store, const struct reference *ref, char ret_id[72], struct err *err)
{
	if (ref->digest) {
		CLEANUP_FREE char *full = str_printf("%s/%s@%s", ref->registry, ref->repository, ref->digest);
		return find_id(store, err, ret_id, "SELECT image FROM repo_digests WHERE reference=?", full);
	}
	CLEANUP_FREE char *full = reference_full(ref);
	return find_id(store, err, ret_id, "SELECT image FROM tags WHERE reference=?", full);
}

static int find_by_prefix(struct store *store, const char *hex, char ret_id[72], struct err *err)
{
	size_t len = strlen(hex);
	if (len == 0 || len > 64 || strspn(hex, "0123456789abcdef") != len)
		return 0;
	CLEANUP_FREE char *from = str_printf("sha256:%s", hex), *to = str_printf("sha256:%sg", hex);
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err,
			 "SELECT id FROM images WHERE id >= ? AND id < ? AND NOT is_hidden LIMIT 2", "ss", from, to);
	if (r < 0 || (r = db_next(q, err)) <= 0)
		return r;
	snprintf(ret_id, 72, "%s", db_text(q, 0));
	r = db_next(q, err);
	/* An ambiguous prefix names nothing. */
	return r < 0 ? r : r == 0;
}

/* How a name has been understood: rmi treats ids and references differently. */
static int resolve(struct store *store, const char *name, char ret_id[72], struct reference *ret_ref, struct err *err)
{
	const char *hex = str_starts_with(name, "sha256:") ? name + 7 : name;
	if (str_is_hex(hex, 64) && strlen(hex) == 64) {
		int r = find_by_prefix(store, hex, ret_id, err);
		return r == 0 ? no_such_image(name, err) : r < 0 ? r : 0;
	}
	CLEANUP_REFERENCE struct reference ref = { 0 };
	bool is_reference = hex == name && reference_parse(name, true, &ref, err) == 0;
	int r = is_reference ? find_by_reference(store, &ref, ret_id, err) : 0;
	if (r > 0 && ret_ref) {
		*ret_ref = ref;
		ref = (struct reference){ 0 };
	}
	if (r == 0)
		r = find_by_prefix(store, hex, ret_id, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return is_reference || hex != name ? no_such_image(name, err) : err->kind ? -EINVAL : no_such_image(name, err);
}

int image_resolve_id(struct store *store, const char *name, char ret_id[72], struct err *err)
{
	struct err e = ERR_INIT;
	int r = resolve(store, name, ret_id, NULL, &e);
	if (r < 0)
		*err = e;
	return r;
}

int image_load(struct store *store, const char *id, struct image **ret, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, "SELECT config, added_ns, tagged_ns, parent FROM images WHERE id=?", "s",
			 id);
	if (r < 0 || (r = db_next(q, err)) < 0)
		return r;
	if (r == 0)
		return no_such_image(id, err);
	CLEANUP_IMAGE struct image *image = mem_calloc(1, sizeof(*image));
	snprintf(image->id, sizeof(image->id), "%s", id);
	image->text = str_dup(db_text(q, 0));
	image->added_ns = db_i64(q, 1);
	image->tagged_ns = db_i64(q, 2);
	image->parent = str_dup(db_text(q, 3));
	r = image_config_parse(image->text, strlen(image->text), &image->config, err);
	if (r < 0)
		return err_context(err, r, "image %s", id);
	*ret = TAKE_PTR(image);
	return 0;
}

int image_resolve(struct store *store, const char *name, struct image **ret, struct err *err)
{
	char id[72];
	int r = image_resolve_id(store, name, id, err);
	return r < 0 ? r : image_load(store, id, ret, err);
}

/* ---- names ---- */

static int append_texts(struct store *store, struct strv *sv, struct err *err, const char *sql, const char *key)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err, sql, "s", key);
	while (r >= 0 && (r = db_next(q, err)) > 0)
		strv_add(sv, db_text(q, 0));
	return r;
}

int image_names(struct store *store, const char *id, struct strv *ret_tags, struct strv *ret_digests, struct err *err)
{
	int r = append_texts(store, ret_tags, err, "SELECT reference FROM tags WHERE image=? ORDER BY 1", id);
	if (r < 0)
		return r;
	return append_texts(store, ret_digests, err, "SELECT reference FROM repo_digests WHERE image=? ORDER BY 1", id);
}

char *image_display_name(struct store *store, const char *id)
{
	CLEANUP_FREE char *full = NULL;
	struct err ignored = ERR_INIT;
	if (db_query_text(store->db, &full, &ignored, "SELECT reference FROM tags WHERE image=? ORDER BY 1 LIMIT 1", "s",
			  id) <= 0)
		return str_dup("");
	return str_dup(reference_familiar(full));
}

static int set_tag(struct store *store, const char *id, const char *reference, struct err *err)
{
	int r = db_run(store->db, err,
		       "INSERT INTO tags VALUES(?1, ?2) ON CONFLICT(reference) DO UPDATE SET image=?2", "ss", reference,
		       id);
	if (r >= 0)
		r = db_run(store->db, err, "UPDATE images SET tagged_ns=?, is_hidden=0 WHERE id=?", "is",
			   clock_wall_ns(), id);
	return r < 0 ? r : 0;
}

int image_tag(struct store *store, const char *id, const char *reference, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(store->db, &tx, err);
	if (r < 0 || (r = set_tag(store, id, reference, err)) < 0)
		return r;
	return db_tx_commit(&tx, err);
}

/* ---- adding ---- */

static int insert_image(struct store *store, const struct image_new *in, const struct image_config *config,
			const char *id, struct err *err)
{
	int r = db_run(store->db, err,
		       "INSERT INTO images(id, config, created_ns, added_ns, parent) VALUES(?, CAST(? AS TEXT), ?, ?, ?)"
		       " ON CONFLICT(id) DO UPDATE SET is_hidden=0",
		       "sbiis", id, in->config, in->config_len, config->created_ns, clock_wall_ns(), in->parent);
	for (size_t i = 0; r >= 0 && i < config->diffids.n; i++)
		r = db_run(store->db, err, "INSERT OR IGNORE INTO image_layers VALUES(?, ?, ?)", "sis", id, (int64_t)i,
			   config->diffids.v[i]);
	if (r >= 0 && in->tag)
		r = set_tag(store, id, in->tag, err);
	if (r >= 0 && in->repo_digest)
		r = db_run(store->db, err, "INSERT OR REPLACE INTO repo_digests VALUES(?, ?)", "ss", in->repo_digest, id);
	if (r >= 0 && in->manifest)
		r = db_run(store->db, err, "INSERT OR REPLACE INTO manifests VALUES(?, ?, ?, ?)", "ssss",
			   in->manifest_digest, in->manifest_type, id, in->manifest);
	return r < 0 ? r : 0;
}

static int check_layers(const struct image_new *in, const struct image_config *config, struct err *err)
{
	if (config->diffids.n != in->layers_n)
		return err_set(err, ERR_INVALID, 0, "the image has %zu layers, its configuration lists %zu",
			       in->layers_n, config->diffids.n);
	for (size_t i = 0; i < in->layers_n; i++)
		if (!str_eq(config->diffids.v[i], in->layers[i].diffid)) {
			err_set(err, ERR_INVALID, 0, "layer %zu is not what the image's configuration lists", i + 1);
			err_why(err, "its diff id is %s, not %s", in->layers[i].diffid, config->diffids.v[i]);
			return -EBADMSG;
		}
	return 0;
}

int image_add(struct store *store, const struct ingest *ingest, const struct image_new *in, char ret_id[72],
	      struct err *err)
{
	CLEANUP_IMAGE_CONFIG struct image_config *config = NULL;
	char id[DIGEST_SIZE];
	int r = image_config_parse(in->config, in->config_len, &config, err);
	if (r < 0 || (r = check_layers(in, config, err)) < 0)
		return r;
	for (size_t i = 0; i < in->layers_n; i++) {
		if (in->layers[i].is_unsynced)
			continue;
		if (in->layers[i].file[0] && (r = layer_sync(ingest, in->layers[i].file, err)) < 0)
			return r;
		if (in->layers[i].blob_digest[0] && (r = layer_sync(ingest, in->layers[i].blob_file, err)) < 0)
			return r;
	}
	FAULT_HERE("image.synced");
	digest_of(in->config, in->config_len, id);
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	if ((r = db_tx_begin(store->db, &tx, err)) < 0)
		return r;
	for (size_t i = 0; i < in->layers_n; i++)
		if ((r = layer_add(store, ingest, &in->layers[i], err)) < 0)
			return r;
	FAULT_HERE("image.moved");
	if ((r = insert_image(store, in, config, id, err)) < 0 || (r = db_tx_commit(&tx, err)) < 0)
		return r;
	FAULT_HERE("image.added");
	memcpy(ret_id, id, sizeof(id));
	return 0;
}
