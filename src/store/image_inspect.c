/* SPDX-License-Identifier: Apache-2.0 */
#include "image_inspect.h"

#include <string.h>

#include "clock.h"
#include "reference.h"

static void write_names(struct json_writer *w, const char *key, const struct strv *names)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < names->n; i++)
		jw_str(w, reference_familiar(names->v[i]));
	jw_array_end(w);
}

static void write_layers(struct store *store, const struct image_config *c, struct json_writer *w)
{
	jw_key(w, "GraphDriver");
	jw_object(w);
	jw_kv_str(w, "Name", "hull");
	jw_key(w, "Data");
	jw_object(w);
	for (size_t i = 0; i < c->diffids.n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/layers/%s", store->run, digest_hex(c->diffids.v[i]));
		jw_kv_str(w, c->diffids.v[i], path);
	}
	jw_object_end(w);
	jw_object_end(w);
	jw_key(w, "RootFS");
	jw_object(w);
	jw_kv_str(w, "Type", "layers");
	if (c->diffids.n)
		jw_kv_strv(w, "Layers", &c->diffids);
	jw_object_end(w);
}

int image_inspect_write(struct store *store, const struct image *image, struct json_writer *w, struct err *err)
{
	CLEANUP_STRV struct strv tags = { 0 }, digests = { 0 };
	const struct image_config *c = image->config;
	char time[CLOCK_RFC3339_SIZE];
	int64_t size = 0;
	int r = image_names(store, image->id, &tags, &digests, err);
	if (r < 0 || (r = image_size(store, image->id, &size, err)) < 0)
		return r;
	jw_object(w);
	jw_kv_str(w, "Id", image->id);
	write_names(w, "RepoTags", &tags);
	write_names(w, "RepoDigests", &digests);
	jw_kv_str(w, "Parent", image->parent ? image->parent : "");
	jw_kv_str(w, "Comment", c->comment ? c->comment : "");
	jw_kv_str(w, "Created", clock_format_rfc3339(c->created_ns, time));
	jw_kv_str(w, "DockerVersion", "");
	jw_kv_str(w, "Author", c->author ? c->author : "");
	jw_key(w, "Config");
	image_config_write_run(c, w);
	jw_kv_str(w, "Architecture", c->architecture ? c->architecture : "");
	jw_kv_str(w, "Variant", c->variant ? c->variant : "");
	jw_kv_str(w, "Os", c->os ? c->os : "");
	jw_kv_i64(w, "Size", size);
	write_layers(store, c, w);
	jw_key(w, "Metadata");
	jw_object(w);
	jw_kv_str(w, "LastTagTime", clock_format_rfc3339(image->tagged_ns, time));
	jw_object_end(w);
	jw_object_end(w);
	return 0;
}

static int layer_size(struct store *store, const char *diffid, int64_t *ret, struct err *err)
{
	*ret = 0;
	int r = db_query_i64(store->db, ret, err, "SELECT content_bytes FROM layers WHERE diffid=?", "s", diffid);
	return r < 0 ? r : 0;
}

int image_history_lines(struct store *store, const struct image *image, struct image_history_line **ret, size_t *ret_n,
			struct err *err)
{
	const struct image_config *c = image->config;
	size_t n = c->history_n, layer = 0;
	/* An image without a history still has its layers. */
	bool is_bare = n == 0;
	if (is_bare)
		n = c->diffids.n;
	struct image_history_line *lines = mem_calloc(n + 1, sizeof(*lines));
	int r = 0;
	for (size_t i = 0; i < n && r >= 0; i++) {
		const struct image_history *h = is_bare ? NULL : &c->history[i];
		struct image_history_line *line = &lines[n - 1 - i];
		line->id = "<missing>";
		line->created_ns = h ? h->created_ns : c->created_ns;
		line->created_by = h && h->created_by ? h->created_by : "";
		line->comment = h && h->comment ? h->comment : "";
		if ((!h || !h->is_empty_layer) && layer < c->diffids.n)
			r = layer_size(store, c->diffids.v[layer++], &line->size_bytes, err);
	}
	if (r >= 0 && n) {
		CLEANUP_STRV struct strv digests = { 0 };
		lines[0].id = image->id;
		r = image_names(store, image->id, &lines[0].tags, &digests, err);
	}
	if (r < 0) {
		image_history_free(lines, n);
		return r;
	}
	*ret = lines;
	*ret_n = n;
	return 0;
}

void image_history_free(struct image_history_line *lines, size_t n)
{
	for (size_t i = 0; lines && i < n; i++)
		strv_free(&lines[i].tags);
	free(lines);
}
