/* SPDX-License-Identifier: Apache-2.0 */
/* Listing images and what they take. */
#include <string.h>

#include "image_store.h"

static int read_one(struct store *store, struct db_stmt *q, struct image_summary *s, struct err *err)
{
	snprintf(s->id, sizeof(s->id), "%s", db_text(q, 0));
	s->created_ns = db_i64(q, 1);
	s->parent = str_dup(db_text(q, 2));
	s->size_bytes = db_i64(q, 3);
	s->unique_bytes = db_i64(q, 4);
	s->layers_n = db_i64(q, 5);
	CLEANUP_IMAGE_CONFIG struct image_config *config = NULL;
	const char *text = db_text(q, 6);
	int r = image_config_parse(text, strlen(text), &config, err);
	if (r < 0)
		return r;
	strv_extend(&s->labels, &config->labels);
	return image_names(store, s->id, &s->tags, &s->digests, err);
}

int image_list(struct store *store, struct image_summary **ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	int r = db_query(store->db, &q, err,
			 "WITH users AS (SELECT diffid, count(DISTINCT image) n FROM image_layers GROUP BY diffid)"
			 " SELECT i.id, i.created_ns, i.parent, coalesce(sum(l.content_bytes), 0),"
			 " coalesce(sum(CASE WHEN u.n = 1 THEN l.content_bytes END), 0), count(l.diffid), i.config"
			 " FROM images i LEFT JOIN image_layers il ON il.image = i.id"
			 " LEFT JOIN layers l ON l.diffid = il.diffid LEFT JOIN users u ON u.diffid = il.diffid"
			 " WHERE NOT i.is_hidden GROUP BY i.id ORDER BY i.created_ns DESC, i.id",
			 "");
	struct image_summary *list = NULL;
	size_t n = 0;
	while (r >= 0 && (r = db_next(q, err)) > 0) {
		struct image_summary *more = reallocarray(list, n + 1, sizeof(*more));
		if (!more) {
			r = err_set(err, ERR_SYSTEM, -ENOMEM, "list images");
			break;
		}
		list = more;
		list[n] = (struct image_summary){ 0 };
		r = read_one(store, q, &list[n++], err);
	}
	if (r < 0) {
		image_list_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

void image_list_free(struct image_summary *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].parent);
		strv_free(&list[i].tags);
		strv_free(&list[i].digests);
		strv_free(&list[i].labels);
	}
	free(list);
}

bool image_matches_labels(const struct strv *labels, const struct strv *wanted)
{
	for (size_t i = 0; i < wanted->n; i++) {
		const char *want = wanted->v[i];
		bool has_value = strchr(want, '='), found = false;
		size_t len = strlen(want);
		for (size_t j = 0; j < labels->n && !found; j++)
			found = has_value ? str_eq(labels->v[j], want)
					  : strncmp(labels->v[j], want, len) == 0 && labels->v[j][len] == '=';
		if (!found)
			return false;
	}
	return true;
}

int image_size(struct store *store, const char *id, int64_t *ret, struct err *err)
{
	*ret = 0;
	int r = db_query_i64(store->db, ret, err,
			     "SELECT coalesce(sum(content_bytes), 0) FROM image_layers JOIN layers USING(diffid)"
			     " WHERE image=?",
			     "s", id);
	return r < 0 ? r : 0;
}

int image_disk_usage(struct store *store, int64_t *ret_bytes, struct err *err)
{
	int r = db_query_i64(store->db, ret_bytes, err,
			     "SELECT (SELECT coalesce(sum(file_bytes), 0) FROM layers)"
			     " + (SELECT coalesce(sum(bytes), 0) FROM blobs)",
			     "");
	return r < 0 ? r : 0;
}
