/* SPDX-License-Identifier: Apache-2.0 */
/* A template's text into pieces: literal text and actions. Blocks are only checked;
 * they find their else and end by counting, when they are run. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format_internal.h"

#define PIECES_MAX 4096

static int add_piece(struct format *f, bool is_action, const char *text, size_t len, struct err *err)
{
	if (f->n == PIECES_MAX)
		return err_set(err, ERR_INVALID, 0, "template parsing error: too many actions");
	f->v[f->n++] = (struct piece){ is_action, str_ndup(text, len) };
	return 0;
}

/* The end of an action: "}}" outside quotes. */
static const char *action_end(const char *s)
{
	char quote = 0;

	for (; *s; s++) {
		if (quote) {
			if (*s == '\\' && quote == '"' && s[1])
				s++;
			else if (*s == quote)
				quote = 0;
		} else if (*s == '"' || *s == '`') {
			quote = *s;
		} else if (s[0] == '}' && s[1] == '}') {
			return s;
		}
	}
	return NULL;
}

static int split_pieces(struct format *f, const char *s, struct err *err)
{
	bool trim_next = false;

	for (;;) {
		const char *open = strstr(s, "{{");
		size_t len = open ? (size_t)(open - s) : strlen(s);
		for (; trim_next && len && isspace((unsigned char)*s); s++)
			len--;
		bool trim = open && open[2] == '-' && isspace((unsigned char)open[3]);
		while (trim && len && isspace((unsigned char)s[len - 1]))
			len--;
		int r = len ? add_piece(f, false, s, len, err) : 0;
		if (r < 0 || !open)
			return r;
		s = open + (trim ? 3 : 2);
		const char *end = action_end(s);
		if (!end)
			return err_set(err, ERR_INVALID, 0, "template parsing error: unclosed action");
		trim_next = end - s >= 2 && end[-1] == '-' && isspace((unsigned char)end[-2]);
		const char *stop = end - (trim_next ? 1 : 0);
		while (s < stop && isspace((unsigned char)*s))
			s++;
		while (stop > s && isspace((unsigned char)stop[-1]))
			stop--;
		r = strncmp(s, "/*", 2) == 0 ? 0 : add_piece(f, true, s, (size_t)(stop - s), err);
		if (r < 0)
			return r;
		s = end + 2;
	}
}

/* A text in "..." gets its escapes; \t and \n are also understood bare, as
 * Docker does for --format '{{.A}}\t{{.B}}'. */
static char *unescape(const char *text)
{
	char *out = mem_calloc(strlen(text) + 1, 1), *to = out;

	for (; *text; text++) {
		if (text[0] == '\\' && (text[1] == 't' || text[1] == 'n')) {
			*to++ = text[1] == 't' ? '\t' : '\n';
			text++;
		} else {
			*to++ = *text;
		}
	}
	return out;
}

bool action_is(const char *action, const char *word)
{
	size_t len = strlen(word);

	return strncmp(action, word, len) == 0 && (!action[len] || isspace((unsigned char)action[len]));
}

bool action_opens_block(const char *action)
{
	return action_is(action, "if") || action_is(action, "range") || action_is(action, "with");
}

static int check_blocks(const struct format *f, struct err *err)
{
	size_t depth = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (!f->v[i].is_action)
			continue;
		if (action_opens_block(f->v[i].text))
			depth++;
		if (depth > FORMAT_DEPTH_MAX)
			return err_set(err, ERR_INVALID, 0, "template parsing error: blocks nested too deep");
		if (!depth && (action_is(f->v[i].text, "end") || action_is(f->v[i].text, "else")))
			return err_set(err, ERR_INVALID, 0, "template parsing error: unexpected {{%s}}", f->v[i].text);
		if (action_is(f->v[i].text, "end"))
			depth--;
		if (!*f->v[i].text)
			return err_set(err, ERR_INVALID, 0, "template parsing error: missing value for command");
	}
	if (depth)
		return err_set(err, ERR_INVALID, 0, "template parsing error: unexpected EOF");
	return 0;
}

void format_free(struct format *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].text);
	free(f->v);
	free(f);
}

int format_parse(const char *text, struct format **ret, struct err *err)
{
	CLEANUP_FORMAT struct format *f = mem_calloc(1, sizeof(*f));
	CLEANUP_FREE char *plain = NULL;

	if (strlen(text) > FORMAT_TEXT_MAX)
		return err_set(err, ERR_INVALID, 0, "template parsing error: too long");
	f->v = mem_calloc(PIECES_MAX, sizeof(*f->v));
	plain = unescape(str_eq(text, "json") ? "{{json .}}" : text);
	int r = split_pieces(f, plain, err);
	if (r == 0)
		r = check_blocks(f, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}
