/* SPDX-License-Identifier: Apache-2.0 */
#include "toml.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "buf.h"

#define TEXT_MAX (1u << 20)
#define ENTRIES_MAX 4096
#define PATH_MAX_NAMES 16

struct reader {
	const char *at, *end, *what;
	unsigned line;
	struct strv table;
	struct toml *out;
	struct err *err;
};

static void entry_done(struct toml_entry *e)
{
	strv_free(&e->path);
	strv_free(&e->strings);
	free(e->string);
	*e = (struct toml_entry){ 0 };
}

void toml_free(struct toml *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		entry_done(&t->entries[i]);
	free(t->entries);
	free(t);
}

static int bad(const struct reader *r, const char *why)
{
	return err_set(r->err, ERR_INVALID, 0, "%s:%u: %s", r->what, r->line, why);
}

/* ---- characters ---- */

static char peek(const struct reader *r)
{
	return r->at < r->end ? *r->at : '\0';
}

static void skip_blanks(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t')
		r->at++;
}

static int skip_comment(struct reader *r)
{
	if (peek(r) != '#')
		return 0;
	for (; r->at < r->end && *r->at != '\n'; r->at++)
		if (((unsigned char)*r->at < 0x20 && *r->at != '\t' && *r->at != '\r') || *r->at == 0x7f)
			return bad(r, "a control character in a comment");
	return 0;
}

/* Blanks, a comment, and the end of the line (or of the file). */
static int end_line(struct reader *r)
{
	skip_blanks(r);
	int x = skip_comment(r);
	if (x < 0)
		return x;
	if (peek(r) == '\r')
		r->at++;
	if (r->at == r->end)
		return 0;
	if (*r->at != '\n')
		return bad(r, "something after the value; one a line");
	r->at++;
	r->line++;
	return 0;
}

/* Inside of an array lines may end anywhere. */
static int skip_lines(struct reader *r)
{
	for (;;) {
		skip_blanks(r);
		int x = skip_comment(r);
		if (x < 0)
			return x;
		if (peek(r) == '\r')
			r->at++;
		if (peek(r) != '\n')
			return 0;
		r->at++;
		r->line++;
	}
}

/* ---- strings ---- */

static int put_utf8(struct buf *out, uint32_t c)
{
	char b[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n; i-- > 1; c >>= 6)
		b[i] = (char)(0x80 | (c & 0x3f));
	b[0] = (char)(lead[n] | c);
	return buf_append(out, b, n);
}

static int read_escape(struct reader *r, struct buf *out)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	char c = peek(r);
	const char *found = c ? strchr(from, c) : NULL;
	if (found) {
		r->at++;
		return buf_append_char(out, to[found - from]);
	}
	size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
	if (!digits || r->end - r->at <= (ptrdiff_t)digits)
		return bad(r, "an unknown escape in a string");
	uint32_t v = 0;
	for (size_t i = 1; i <= digits; i++) {
		if (!isxdigit((unsigned char)r->at[i]))
			return bad(r, "an unknown escape in a string");
		char d = (char)tolower((unsigned char)r->at[i]);
		v = v << 4 | (uint32_t)(d <= '9' ? d - '0' : d - 'a' + 10);
	}
	if (v == 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return bad(r, "an escape that is no character");
	r->at += digits + 1;
	return put_utf8(out, v);
}

/* "basic" or 'literal', on one line. */
static int read_string(struct reader *r, char **ret)
{
	CLEANUP_BUF struct buf out = BUF_INIT(64u * 1024);
	char quote = *r->at++;
	int x = 0;
	if (r->end - r->at >= 2 && r->at[0] == quote && r->at[1] == quote)
		return bad(r, "strings of several lines are not supported");
	while (x >= 0 && peek(r) != quote) {
		char c = peek(r);
		if (r->at == r->end || c == '\n')
			return bad(r, "a string without its end");
		if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
			return bad(r, "a control character in a string");
		r->at++;
		x = c == '\\' && quote == '"' ? read_escape(r, &out) : buf_append_char(&out, c);
		if (x == -E2BIG)
			return bad(r, "a string that is too long");
	}
	if (x < 0)
		return x;
	r->at++;
	*ret = str_dup(buf_str(&out));
	return 0;
}

/* ---- keys ---- */

static bool is_bare(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static int read_name(struct reader *r, char **ret)
{
	if (peek(r) == '"' || peek(r) == '\'')
		return read_string(r, ret);
	const char *start = r->at;
	while (r->at < r->end && is_bare(*r->at))
		r->at++;
	if (r->at == start)
		return bad(r, "a name is missing");
	*ret = str_ndup(start, (size_t)(r->at - start));
	return 0;
}

/* a.b."c d" */
static int read_path(struct reader *r, struct strv *path)
{
	for (;;) {
		char *name = NULL;
		skip_blanks(r);
		int x = read_name(r, &name);
		if (x < 0)
			return x;
		strv_take(path, name);
		if (path->n > PATH_MAX_NAMES)
			return bad(r, "too many names in a row");
		skip_blanks(r);
		if (peek(r) != '.')
			return 0;
		r->at++;
	}
}

/* ---- values ---- */

static int read_integer(struct reader *r, struct toml_entry *e)
{
	char text[32];
	size_t n = 0;
	if (peek(r) == '+')
		r->at++;
	for (; r->at < r->end && (isalnum((unsigned char)*r->at) || strchr("-_.:+", *r->at)); r->at++) {
		if (*r->at == '_')
			continue;
		if (n + 1 == sizeof(text))
			return bad(r, "a number that is too long");
		text[n++] = *r->at;
	}
	text[n] = '\0';
	e->kind = TOML_INTEGER;
	return str_parse_i64(text, &e->integer) < 0 ? bad(r, "a value that is neither a string, a whole number, true, false nor a list") : 0;
}

static int read_array(struct reader *r, struct toml_entry *e)
{
	e->kind = TOML_STRINGS;
	r->at++;
	for (;;) {
		char *s = NULL;
		int x = skip_lines(r);
		if (x < 0)
			return x;
		if (peek(r) == ']') {
			r->at++;
			return 0;
		}
		if (peek(r) != '"' && peek(r) != '\'')
			return bad(r, "a list may hold strings only");
		if ((x = read_string(r, &s)) < 0)
			return x;
		strv_take(&e->strings, s);
		if (e->strings.n > ENTRIES_MAX)
			return bad(r, "a list that is too long");
		if ((x = skip_lines(r)) < 0)
			return x;
		if (peek(r) == ',')
			r->at++;
		else if (peek(r) != ']')
			return bad(r, "a list without its end");
	}
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0 || (r->at + n < r->end && is_bare(r->at[n])))
		return false;
	r->at += n;
	return true;
}

static int read_value(struct reader *r, struct toml_entry *e)
{
	char c = peek(r);
	if (c == '"' || c == '\'')
		return read_string(r, &e->string);
	if (c == '[')
		return read_array(r, e);
	if (c == '{')
		return bad(r, "tables in braces are not supported; write [the.table]");
	e->kind = TOML_BOOL;
	if (take_word(r, "true")) {
		e->boolean = true;
		return 0;
	}
	return take_word(r, "false") ? 0 : read_integer(r, e);
}

/* ---- lines ---- */

static bool is_same(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

static int read_entry(struct reader *r)
{
	struct toml *t = r->out;
	struct toml_entry e = { .line = r->line };
	strv_extend(&e.path, &r->table);
	int x = read_path(r, &e.path);
	if (x >= 0 && peek(r) != '=')
		x = bad(r, "a name without '=' and a value");
	if (x >= 0) {
		r->at++;
		skip_blanks(r);
		x = read_value(r, &e);
	}
	for (size_t i = 0; x >= 0 && i < t->n; i++)
		if (is_same(&t->entries[i].path, &e.path))
			x = bad(r, "a name that is given twice");
	if (x >= 0 && t->n == ENTRIES_MAX)
		x = bad(r, "too many values");
	if (x < 0) {
		entry_done(&e);
		return x;
	}
	t->entries[t->n++] = e;
	return end_line(r);
}

static int read_table(struct reader *r)
{
	strv_free(&r->table);
	r->at++;
	if (peek(r) == '[')
		return bad(r, "lists of tables are not supported");
	int x = read_path(r, &r->table);
	if (x < 0)
		return x;
	if (peek(r) != ']')
		return bad(r, "a table's name without ']'");
	r->at++;
	return end_line(r);
}

static int read_all(struct reader *r)
{
	int x = 0;
	while (x >= 0 && (x = skip_lines(r)) >= 0 && r->at < r->end)
		x = *r->at == '[' ? read_table(r) : read_entry(r);
	return x;
}

int toml_parse(const char *text, size_t len, const char *what, struct toml **ret, struct err *err)
{
	CLEANUP_TOML struct toml *t = mem_calloc(1, sizeof(*t));
	struct reader r = { .at = text, .end = text + len, .what = what, .line = 1, .out = t, .err = err };
	if (len > TEXT_MAX || memchr(text, '\0', len))
		return err_set(err, ERR_INVALID, 0, "%s is too long, or no text", what);
	t->entries = mem_calloc(ENTRIES_MAX, sizeof(*t->entries));
	int x = read_all(&r);
	strv_free(&r.table);
	if (x < 0)
		return x;
	*ret = TAKE_PTR(t);
	return 0;
}
