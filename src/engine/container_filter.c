/* SPDX-License-Identifier: Apache-2.0 */
#include "container_filter.h"

#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "json.h"

#define OBJECT_MAX (16u << 20)

/* A container under the filters; what inspect says of it is read when a filter
 * needs it, once. */
struct candidate {
	struct engine *engine;
	struct container *c;
	struct json *object;
};

static struct json *inspected(struct candidate *x, const char *part, const char *field)
{
	CLEANUP_BUF struct buf text = BUF_INIT(OBJECT_MAX);
	struct err ignored = ERR_INIT;
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	/* One that is just going has nothing. */
	if (!x->object && containers_inspect(x->engine, x->c, false, &w, &ignored) == 0 && json_writer_finish(&w) == 0)
		(void)!json_parse(text.data, text.len, "container", &x->object, &ignored);
	struct json *found = json_get(x->object, part);
	return field ? json_get(found, field) : found;
}

static int id_matches(struct candidate *x, const char *value, struct err *err)
{
	return str_starts_with(x->c->id, value);
}

/* A regular expression, looked for in the name with and without its slash; what
 * is none matches nothing. */
static int name_matches(struct candidate *x, const char *value, struct err *err)
{
	regex_t pattern;
	CLEANUP_FREE char *slashed = str_printf("/%s", x->c->name);
	if (str_eq(value, x->c->name) || str_eq(value, slashed))
		return 1;
	if (regcomp(&pattern, value, REG_EXTENDED | REG_NOSUB) != 0)
		return 0;
	bool found = regexec(&pattern, x->c->name, 0, NULL, 0) == 0 || regexec(&pattern, slashed, 0, NULL, 0) == 0;
	regfree(&pattern);
	return found;
}

static int label_matches(struct candidate *x, const char *value, struct err *err)
{
	size_t len = strlen(value);
	for (size_t i = 0; i < x->c->labels.n; i++) {
		const char *l = x->c->labels.v[i];
		if (strncmp(l, value, len) == 0 && (l[len] == '\0' || (l[len] == '=' && !strchr(value, '='))))
			return 1;
	}
	return 0;
}

static int status_matches(struct candidate *x, const char *value, struct err *err)
{
	return str_eq(container_status_name(x->c->status), value);
}

static int exited_matches(struct candidate *x, const char *value, struct err *err)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", x->c->exit_code);
	return x->c->status == CONTAINER_EXITED && str_eq(number, value);
}

static int ancestor_matches(struct candidate *x, const char *value, struct err *err)
{
	const char *id = x->c->image_id;
	CLEANUP_FREE char *latest = str_printf("%s:latest", value), *its_latest = str_printf("%s:latest", x->c->image_name);
	return str_eq(x->c->image_name, value) || str_eq(x->c->image_name, latest) || str_eq(its_latest, value) ||
	       str_starts_with(id, value) || (strlen(id) > 7 && str_starts_with(id + 7, value));
}

static int health_matches(struct candidate *x, const char *value, struct err *err)
{
	return str_eq(run_health_name(x->c->run.health), value);
}

static int isolation_matches(struct candidate *x, const char *value, struct err *err)
{
	return str_eq(isolation_level_name(x->c->level), value);
}

/* Most containers have rows, which tell it sooner than all that is told of one. */
static int network_matches(struct candidate *x, const char *value, struct err *err)
{
	int64_t found = 0;
	int r = db_query_i64(x->engine->db, &found, err,
			     "SELECT MAX(e.network = ?2 OR (?2 <> '' AND substr(n.id, 1, length(?2)) = ?2)) FROM endpoints e"
			     " LEFT JOIN networks n ON n.name = e.network WHERE e.container = ?1 HAVING COUNT(*) > 0", "ss", x->c->id, value);
	if (r != 0)
		return r < 0 ? r : found != 0;
	const struct json *networks = inspected(x, "NetworkSettings", "Networks");
	if (json_get(networks, value))
		return 1;
	const char *name;
	struct json *network;
	for (void *it = NULL; (it = json_object_next(networks, it, &name, &network));) {
		const char *id = json_get_str_or(network, "NetworkID", "");
		if (!str_is_empty(value) && str_starts_with(id, value))
			return 1;
	}
	return 0;
}

static int volume_matches(struct candidate *x, const char *value, struct err *err)
{
	const struct json *mounts = inspected(x, "Mounts", NULL);
	for (size_t i = 0; i < json_array_len(mounts); i++) {
		const struct json *m = json_array_at(mounts, i);
		if (str_eq(json_get_str_or(m, "Name", ""), value) || str_eq(json_get_str_or(m, "Destination", ""), value))
			return 1;
	}
	return 0;
}

/* "80", "80/udp", "80-90/tcp" against the keys of @ports, "80/tcp". */
static int ports_match(const struct json *ports, const char *value, struct err *err)
{
	unsigned first = 0, last = 0;
	char protocol[8] = "tcp";
	int end = 0;
	int n = sscanf(value, "%5u%n-%5u%n", &first, &end, &last, &end);
	const char *slash = value + end;
	last = n == 2 ? last : first;
	if (n < 1 || first == 0 || last < first || last > UINT16_MAX || (*slash && *slash != '/') ||
	    (*slash && str_copy(protocol, sizeof(protocol), slash + 1) < 0))
		return err_set(err, ERR_INVALID, 0, "invalid port: %s", value);
	const char *key;
	struct json *ignored;
	for (void *it = NULL; (it = json_object_next(ports, it, &key, &ignored));) {
		unsigned port = 0;
		char kind[8] = "";
		if (sscanf(key, "%5u/%7s", &port, kind) == 2 && port >= first && port <= last && str_eq(kind, protocol))
			return 1;
	}
	return 0;
}

static int publish_matches(struct candidate *x, const char *value, struct err *err)
{
	return ports_match(inspected(x, "HostConfig", "PortBindings"), value, err);
}

static int expose_matches(struct candidate *x, const char *value, struct err *err)
{
	return ports_match(inspected(x, "Config", "ExposedPorts"), value, err);
}

static int created_of(struct candidate *x, const char *name, int64_t *ret, struct err *err)
{
	CLEANUP_CONTAINER struct container *other = NULL;
	int r = container_find(x->engine, name, &other, err);
	if (r == 0)
		*ret = other->created_ns;
	return r;
}

static int before_matches(struct candidate *x, const char *value, struct err *err)
{
	int64_t created = 0;
	int r = created_of(x, value, &created, err);
	return r < 0 ? r : x->c->created_ns < created;
}

static int since_matches(struct candidate *x, const char *value, struct err *err)
{
	int64_t created = 0;
	int r = created_of(x, value, &created, err);
	return r < 0 ? r : x->c->created_ns > created;
}

/* A swarm's; there are none. */
static int task_matches(struct candidate *x, const char *value, struct err *err)
{
	bool wanted;
	if (str_parse_bool(value, &wanted) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid filter 'is-task=%s'", value);
	return !wanted;
}

static const struct {
	const char *key;
	int (*matches)(struct candidate *x, const char *value, struct err *err);
} filters[] = {
	{ "id", id_matches },		  { "name", name_matches },	    { "label", label_matches },
	{ "status", status_matches },	  { "exited", exited_matches },	    { "ancestor", ancestor_matches },
	{ "health", health_matches },	  { "isolation", isolation_matches }, { "is-task", task_matches },
	{ "before", before_matches },	  { "since", since_matches },	    { "network", network_matches },
	{ "volume", volume_matches },	  { "publish", publish_matches },   { "expose", expose_matches },
};

static const char *value_of(const char *pair, const char *key)
{
	size_t len = strlen(key);
	return strncmp(pair, key, len) == 0 && pair[len] == '=' ? pair + len + 1 : NULL;
}

int container_filter_matches(struct engine *engine, struct container *c, const struct container_filter *f, struct err *err)
{
	struct candidate x = { .engine = engine, .c = c };
	int ok = 1;
	for (size_t k = 0; ok > 0 && k < ARRAY_LEN(filters); k++) {
		bool is_asked = false, needs_all = str_eq(filters[k].key, "label");
		for (size_t i = 0; ok >= 0 && i < f->pairs.n; i++) {
			const char *value = value_of(f->pairs.v[i], filters[k].key);
			if (!value)
				continue;
			int one = filters[k].matches(&x, value, err);
			ok = one < 0 || !is_asked ? one : needs_all ? ok && one : ok || one;
			is_asked = true;
		}
	}
	json_free(x.object);
	return ok;
}

static bool is_status(const char *word)
{
	static const char *const words[] = { "created", "running", "paused", "restarting", "removing", "exited", "dead", NULL };
	for (size_t i = 0; words[i]; i++)
		if (str_eq(words[i], word))
			return true;
	return false;
}

int container_filter_check(const struct container_filter *f, bool *ret_all, struct err *err)
{
	for (size_t i = 0; i < f->pairs.n; i++) {
		const char *eq = strchr(f->pairs.v[i], '=');
		CLEANUP_FREE char *key = str_ndup(f->pairs.v[i], eq ? (size_t)(eq - f->pairs.v[i]) : strlen(f->pairs.v[i]));
		bool is_known = false;
		for (size_t k = 0; k < ARRAY_LEN(filters); k++)
			is_known |= str_eq(key, filters[k].key);
		if (!eq || !is_known)
			return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", key);
		if (str_eq(key, "status") && !is_status(eq + 1))
			return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", f->pairs.v[i]);
		*ret_all |= str_eq(key, "status") || str_eq(key, "exited");
	}
	return 0;
}
