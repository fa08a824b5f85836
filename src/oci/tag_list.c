/* SPDX-License-Identifier: Apache-2.0 */
#include "tag_list.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "reference.h"

#define QUERY_MAX 4096

int tag_list_parse(const char *text, size_t len, struct strv *ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	int r = json_parse(text, len, "the registry's list of tags", &root, err);
	if (r < 0)
		return r;
	const struct json *tags = json_get(root, "tags");
	/* A repository without tags has null. */
	if (tags && json_kind(tags) != JT_ARRAY && json_kind(tags) != JT_NULL)
		return err_set(err, ERR_INVALID, 0, "the registry's list of tags is none");
	size_t n = json_array_len(tags);
	if (n > TAG_LIST_MAX || ret->n > TAG_LIST_MAX - n)
		return err_set(err, ERR_INVALID, 0, "the registry lists more than %u tags", TAG_LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *tag = json_str(json_array_at(tags, i));
		if (!tag || !reference_tag_is_valid(tag))
			return err_set(err, ERR_INVALID, 0, "the registry lists a tag that is none");
		strv_add(ret, tag);
	}
	return 0;
}

/* Whether the parameters of one link, which end at a comma, say rel=next. *ret_end
 * is behind them. */
static bool is_next(const char *s, const char **ret_end)
{
	bool found = false;
	while (*s && *s != ',') {
		s += strspn(s, "; \t");
		size_t name = strcspn(s, "=;, \t");
		bool is_rel = name == 3 && strncasecmp(s, "rel", 3) == 0;
		s += name;
		s += strspn(s, " \t");
		if (*s != '=') {
			if (!name && *s && *s != ',')
				s++;
			continue;
		}
		s++;
		s += strspn(s, " \t");
		const char *value = s;
		size_t len;
		if (*s == '"') {
			len = strcspn(++value, "\"");
			s = value + len + (value[len] == '"');
		} else {
			len = strcspn(value, ";, \t");
			s = value + len;
		}
		found |= is_rel && len == 4 && strncasecmp(value, "next", 4) == 0;
	}
	*ret_end = *s ? s + 1 : s;
	return found;
}

static int elsewhere(struct err *err)
{
	int r = err_set(err, ERR_DENIED, 0, "the registry's list of tags goes on in a place that is not taken");
	err_why(err, "the next page has to be an address of the same list");
	return r;
}

/* Whether @target, an address up to @len, is @path on whatever host, or relative to
 * it: only its query is used. */
static bool leads_to(const char *target, size_t len, const char *path)
{
	size_t n = strlen(path);
	return len == 0 || (len >= n && memcmp(target + len - n, path, n) == 0);
}

static int take_query(const char *target, size_t len, const char *path, char **ret, struct err *err)
{
	const char *mark = memchr(target, '?', len);
	size_t query = mark ? (size_t)(target + len - mark - 1) : 0;
	if (!query || query > QUERY_MAX || !leads_to(target, (size_t)(mark - target), path))
		return elsewhere(err);
	for (size_t i = 0; i < query; i++)
		if (!isgraph((unsigned char)mark[1 + i]) || strchr("\"<>\\^`{|}#", mark[1 + i]))
			return elsewhere(err);
	*ret = str_ndup(mark + 1, query);
	return 0;
}

int tag_list_next(const char *link, const char *path, char **ret_query, struct err *err)
{
	*ret_query = NULL;
	for (const char *s = link; s && (s = strchr(s, '<'));) {
		const char *target = s + 1, *end = strchr(target, '>');
		if (!end)
			return 0;
		if (is_next(end + 1, &s))
			return take_query(target, (size_t)(end - target), path, ret_query, err);
	}
	return 0;
}
