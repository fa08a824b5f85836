/* SPDX-License-Identifier: Apache-2.0 */
/* Removing images: Docker's rules for names and users, then what nothing needs. */
#include <string.h>

#include "image_store.h"
#include "fault.h"
#include "reference.h"

/* What the rows of one removal leave to be unlinked after the commit. */
struct garbage {
	struct strv layers, blobs;
};

static void garbage_done(struct garbage *g)
{
	strv_free(&g->layers);
	strv_free(&g->blobs);
}

static const char *short_id(const char *id, char out[13])
{
	snprintf(out, 13, "%.12s", str_starts_with(id, "sha256:") ? id + 7 : id);
	return out;
}

static int find_user(const struct image_users *users, const char *id, struct image_user *ret, struct err *err)
{
	return users && users->find ? users->find(users->ctx, id, ret, err) : 0;
}

/* Drop the image's row, or hide it while @is_needed. */
static int drop_image(struct store *store, const char *id, bool is_needed, struct garbage *garbage,
		      struct strv *report, struct err *err)
{
	int r = db_run(store->db, err, "DELETE FROM tags WHERE image=?", "s", id);
	if (r < 0)
		return r;
	if (is_needed)
		r = db_run(store->db, err, "UPDATE images SET is_hidden=1 WHERE id=?", "s", id);
	else
		r = db_run(store->db, err, "DELETE FROM images WHERE id=?", "s", id);
	if (r < 0)
		return r;
	strv_printf(report, "Deleted: %s", id);
	size_t before = garbage->layers.n;
	r = layers_forget_unused(store, &garbage->layers, &garbage->blobs, err);
	for (size_t i = before; r >= 0 && i < garbage->layers.n; i++)
		strv_printf(report, "Deleted: %s", garbage->layers.v[i]);
	return r;
}

static int untag(struct store *store, const char *full, struct strv *report, struct err *err)
{
	const char *table = strchr(full, '@') ? "DELETE FROM repo_digests WHERE reference=?"
					      : "DELETE FROM tags WHERE reference=?";
	int r = db_run(store->db, err, table, "s", full);
	if (r >= 0)
		strv_printf(report, "Untagged: %s", reference_familiar(full));
	return r < 0 ? r : 0;
}

static int untag_all(struct store *store, const struct strv *names, struct strv *report, struct err *err)
{
	int r = 0;
	for (size_t i = 0; r >= 0 && i < names->n; i++)
		r = untag(store, names->v[i], report, err);
	return r;
}

static bool is_same_repository(const char *a, const char *b)
{
	size_t la = (size_t)(reference_suffix(a) - a), lb = (size_t)(reference_suffix(b) - b);
	return la == lb && memcmp(a, b, la) == 0;
}

/* One tag, and digests of the same repository only. */
static bool is_single_reference(const struct strv *tags, const struct strv *digests)
{
	if (tags->n + digests->n <= 1)
		return true;
	if (tags->n != 1)
		return false;
	for (size_t i = 0; i < digests->n; i++)
		if (!is_same_repository(tags->v[0], digests->v[i]))
			return false;
	return true;
}

static int check_users(const char *id, bool force, const struct image_users *users, bool *ret_needed, struct err *err)
{
	struct image_user user = { 0 };
	char image[13], container[13];
	int r = find_user(users, id, &user, err);
	if (r <= 0)
		return r;
	short_id(id, image);
	short_id(user.container, container);
	if (user.is_running) {
		err_set(err, ERR_CONFLICT, 0,
			"conflict: unable to delete %s (cannot be forced) - image is being used by running container %s",
			image, container);
		err_hint(err, "hull rm -f %s && hull rmi %s", container, image);
		return -EBUSY;
	}
	if (!force) {
		err_set(err, ERR_CONFLICT, 0,
			"conflict: unable to delete %s (must be forced) - image is being used by stopped container %s",
			image, container);
		err_hint(err, "hull rm %s && hull rmi %s", container, image);
		return -EBUSY;
	}
	*ret_needed = true;
	return 0;
}

static int remove_by_id(struct store *store, const char *id, bool force, const struct image_users *users,
			struct garbage *garbage, struct strv *report, struct err *err)
{
	CLEANUP_STRV struct strv tags = { 0 }, digests = { 0 };
	bool is_needed = false;
	char text[13];
	int r = image_names(store, id, &tags, &digests, err);
	if (r < 0)
		return r;
	if (!force && !is_single_reference(&tags, &digests)) {
		err_set(err, ERR_CONFLICT, 0,
			"conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories",
			short_id(id, text));
		return -EBUSY;
	}
	if ((r = check_users(id, force, users, &is_needed, err)) < 0 ||
	    (r = untag_all(store, &tags, report, err)) < 0 || (r = untag_all(store, &digests, report, err)) < 0)
		return r;
	return drop_image(store, id, is_needed, garbage, report, err);
}

static int remove_by_name(struct store *store, const char *id, const char *full, bool force,
			  const struct image_users *users, struct garbage *garbage, struct strv *report,
			  struct err *err)
{
	CLEANUP_STRV struct strv tags = { 0 }, digests = { 0 };
	struct image_user user = { 0 };
	char image[13], container[13];
	int r = image_names(store, id, &tags, &digests, err);
	if (r < 0)
		return r;
	bool is_last = is_single_reference(&tags, &digests) && (!strchr(full, '@') || tags.n == 0);
	if (is_last && !force) {
		r = find_user(users, id, &user, err);
		if (r < 0)
			return r;
		if (r > 0) {
			err_set(err, ERR_CONFLICT, 0,
				"conflict: unable to remove repository reference \"%s\" (must force) - container %s is using "
				"its referenced image %s",
				reference_familiar(full), short_id(user.container, container), short_id(id, image));
			err_hint(err, "hull rm -f %s && hull rmi %s", container, reference_familiar(full));
			return -EBUSY;
		}
	}
	if ((r = untag(store, full, report, err)) < 0)
		return r;
	if (!is_last) {
		/* The last tag of a repository takes the repository's digests along. */
		bool has_sibling = strchr(full, '@') != NULL;
		for (size_t i = 0; i < tags.n; i++)
			has_sibling |= !str_eq(tags.v[i], full) && is_same_repository(tags.v[i], full);
		for (size_t i = 0; !has_sibling && r >= 0 && i < digests.n; i++)
			if (is_same_repository(digests.v[i], full))
				r = untag(store, digests.v[i], report, err);
		return r;
	}
	if (!strchr(full, '@') && (r = untag_all(store, &digests, report, err)) < 0)
		return r;
	/* By force while used: only the name goes when it runs, as in Docker. */
	if (find_user(users, id, &user, err) > 0 && user.is_running)
		return 0;
	bool is_needed = user.container[0] != '\0';
	return drop_image(store, id, is_needed, garbage, report, err);
}

/* The stored name that @name means, or NULL when it is an id. */
static char *name_of(struct store *store, const char *name, const char *id)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	if (reference_parse(name, true, &ref, NULL) < 0)
		return NULL;
	CLEANUP_FREE char *full = ref.digest ? str_printf("%s/%s@%s", ref.registry, ref.repository, ref.digest)
					     : reference_full(&ref);
	CLEANUP_STRV struct strv names = { 0 };
	struct err ignored = ERR_INIT;
	if (image_names(store, id, &names, &names, &ignored) < 0 || !strv_contains(&names, full))
		return NULL;
	return TAKE_PTR(full);
}

int image_remove(struct store *store, const char *name, bool force, const struct image_users *users,
		 struct strv *report, struct err *err)
{
	CLEANUP(garbage_done) struct garbage garbage = { 0 };
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	CLEANUP_STRV struct strv lines = { 0 };
	char id[72];
	int r = image_resolve_id(store, name, id, err);
	if (r < 0 || (r = ingest_begin(store, &ingest, err)) < 0)
		return r;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	if ((r = db_tx_begin(store->db, &tx, err)) < 0)
		return r;
	/* Again under the lock. */
	if ((r = image_resolve_id(store, name, id, err)) < 0)
		return r;
	CLEANUP_FREE char *full = name_of(store, name, id);
	r = full ? remove_by_name(store, id, full, force, users, &garbage, &lines, err)
		 : remove_by_id(store, id, force, users, &garbage, &lines, err);
	if (r < 0 || (r = db_tx_commit(&tx, err)) < 0)
		return r;
	strv_extend(report, &lines);
	FAULT_HERE("image.forgotten");
	return layers_remove_files(store, &garbage.layers, &garbage.blobs, err);
}

/* ---- many at once ---- */

static bool is_prunable(const struct image_summary *s, const struct image_prune *what)
{
	if (!what->all && s->tags.n)
		return false;
	if (what->until_ns && s->created_ns >= what->until_ns)
		return false;
	if (!image_matches_labels(&s->labels, &what->labels))
		return false;
	for (size_t i = 0; i < what->not_labels.n; i++) {
		struct strv one = { .v = &what->not_labels.v[i], .n = 1 };
		if (image_matches_labels(&s->labels, &one))
			return false;
	}
	return true;
}

static int prune_listed(struct store *store, const struct image_summary *list, size_t n,
			const struct image_prune *what, const struct image_users *users, struct garbage *garbage,
			struct strv *report, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct image_user user = { 0 };
		if (!is_prunable(&list[i], what))
			continue;
		int r = find_user(users, list[i].id, &user, err);
		if (r > 0)
			continue;
		if (r < 0 || (r = untag_all(store, &list[i].tags, report, err)) < 0 ||
		    (r = untag_all(store, &list[i].digests, report, err)) < 0 ||
		    (r = drop_image(store, list[i].id, false, garbage, report, err)) < 0)
			return r;
	}
	return 0;
}

int image_prune(struct store *store, const struct image_prune *what, const struct image_users *users,
		struct strv *report, int64_t *ret_freed_bytes, struct err *err)
{
	CLEANUP(garbage_done) struct garbage garbage = { 0 };
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	struct image_summary *list = NULL;
	size_t n = 0;
	int64_t before = 0, after = 0;
	int r = ingest_begin(store, &ingest, err);
	if (r < 0)
		return r;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	if ((r = db_tx_begin(store->db, &tx, err)) < 0 || (r = image_disk_usage(store, &before, err)) < 0 ||
	    (r = image_list(store, &list, &n, err)) < 0)
		return r;
	r = prune_listed(store, list, n, what, users, &garbage, report, err);
	image_list_free(list, n);
	if (r < 0 || (r = image_disk_usage(store, &after, err)) < 0 || (r = db_tx_commit(&tx, err)) < 0)
		return r;
	*ret_freed_bytes = before - after;
	return layers_remove_files(store, &garbage.layers, &garbage.blobs, err);
}

int image_collect(struct store *store, const struct image_users *users, struct err *err)
{
	int64_t one;
	int r = db_query_i64(store->db, &one, err, IMAGES_ARE_HIDDEN, "");
	if (r <= 0)
		return r;
	CLEANUP(garbage_done) struct garbage garbage = { 0 };
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	CLEANUP_STRV struct strv hidden = { 0 }, report = { 0 };
	if ((r = ingest_begin(store, &ingest, err)) < 0)
		return r;
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	if ((r = db_tx_begin(store->db, &tx, err)) < 0)
		return r;
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	r = db_query(store->db, &q, err, "SELECT id FROM images WHERE is_hidden", "");
	while (r >= 0 && (r = db_next(q, err)) > 0)
		strv_add(&hidden, db_text(q, 0));
	for (size_t i = 0; r >= 0 && i < hidden.n; i++) {
		struct image_user user = { 0 };
		r = find_user(users, hidden.v[i], &user, err);
		if (r == 0)
			r = drop_image(store, hidden.v[i], false, &garbage, &report, err);
	}
	db_stmt_free(TAKE_PTR(q));
	if (r < 0 || (r = db_tx_commit(&tx, err)) < 0)
		return r;
	return layers_remove_files(store, &garbage.layers, &garbage.blobs, err);
}
