/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the text is split into pieces (literal text and actions), the
 * actions are interpreted directly over the pieces; blocks find their else and
 * end by counting. Values are JSON values; what a function makes is owned by
 * the run's arena. */
#include "format.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536
#define PIECES_MAX 4096
#define DEPTH_MAX 32
#define STEPS_MAX 1000000
#define ARGS_MAX 16
#define VARIABLES_MAX 16

struct piece {
	bool is_action;
	char *text;
};

struct format {
	struct piece *v;
	size_t n;
	bool is_table, is_json;
};

struct variable {
	char name[32];
	struct json *value;
};

struct run {
	const struct format *format;
	struct buf *out;
	struct json **arena;
	size_t arena_n;
	struct variable variables[VARIABLES_MAX];
	size_t variables_n;
	const struct json *root;
	unsigned steps, depth;
	struct err *err;
};

/* ---- parsing into pieces ---- */

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

static bool word_is(const char *action, const char *word)
{
	size_t len = strlen(word);

	return strncmp(action, word, len) == 0 && (!action[len] || isspace((unsigned char)action[len]));
}

static bool opens_block(const char *action)
{
	return word_is(action, "if") || word_is(action, "range") || word_is(action, "with");
}

static int check_blocks(const struct format *f, struct err *err)
{
	size_t depth = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (!f->v[i].is_action)
			continue;
		if (opens_block(f->v[i].text))
			depth++;
		if (depth > DEPTH_MAX)
			return err_set(err, ERR_INVALID, 0, "template parsing error: blocks nested too deep");
		if (!depth && (word_is(f->v[i].text, "end") || word_is(f->v[i].text, "else")))
			return err_set(err, ERR_INVALID, 0, "template parsing error: unexpected {{%s}}", f->v[i].text);
		if (word_is(f->v[i].text, "end"))
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

	if (strlen(text) > TEXT_MAX)
		return err_set(err, ERR_INVALID, 0, "template parsing error: too long");
	f->v = mem_calloc(PIECES_MAX, sizeof(*f->v));
	f->is_json = str_eq(text, "json");
	plain = unescape(f->is_json ? "{{json .}}" : text);
	int r = split_pieces(f, plain, err);
	if (r == 0)
		r = check_blocks(f, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

/* ---- values ---- */

static struct json *own(struct run *run, const struct buf *text)
{
	struct json *v = NULL;
	struct json **more = realloc(run->arena, (run->arena_n + 1) * sizeof(*more));

	if (!more)
		return NULL;
	run->arena = more;
	/* The reader wants a document; a scalar in an array is one. */
	if (json_parse(text->data, text->len, "value", &v, NULL) < 0)
		return NULL;
	run->arena[run->arena_n++] = v;
	return json_array_at(v, 0);
}

static struct json *make(struct run *run, void (*write)(struct json_writer *w, const void *value), const void *value)
{
	CLEANUP_BUF struct buf text = BUF_INIT(8 << 20);
	struct json_writer w;

	json_writer_init(&w, &text, 0);
	jw_array(&w);
	write(&w, value);
	jw_array_end(&w);
	return json_writer_finish(&w) == 0 ? own(run, &text) : NULL;
}

static void write_text(struct json_writer *w, const void *value)
{
	jw_str(w, value);
}

static void write_number(struct json_writer *w, const void *value)
{
	jw_i64(w, *(const int64_t *)value);
}

static void write_flag(struct json_writer *w, const void *value)
{
	jw_bool(w, *(const bool *)value);
}

static void write_list(struct json_writer *w, const void *value)
{
	jw_strv(w, value);
}

static bool is_true(const struct json *v)
{
	switch (json_kind(v)) {
	case JT_MISSING:
	case JT_NULL:
		return false;
	case JT_BOOL:
		return json_bool(v, false);
	case JT_INTEGER:
	case JT_REAL:
		return json_double(v, 0) != 0;
	case JT_STRING:
		return *json_str(v);
	case JT_ARRAY:
		return json_array_len(v) > 0;
	default:
		return json_object_len(v) > 0;
	}
}

/* As Go prints a value with %v. */
static int print_value(struct buf *out, const struct json *v, unsigned depth)
{
	const char *key;
	struct json *member;
	int r = 0, n = 0;

	switch (json_kind(v)) {
	case JT_MISSING:
	case JT_NULL:
		return buf_append_str(out, "<no value>");
	case JT_BOOL:
		return buf_append_str(out, json_bool(v, false) ? "true" : "false");
	case JT_INTEGER:
		return buf_printf(out, "%lld", (long long)json_i64(v, 0));
	case JT_REAL:
		return buf_printf(out, "%g", json_double(v, 0));
	case JT_STRING:
		return buf_append_str(out, json_str(v));
	case JT_ARRAY:
		r = buf_append_char(out, '[');
		for (size_t i = 0; r == 0 && i < json_array_len(v); i++) {
			r = i ? buf_append_char(out, ' ') : 0;
			if (r == 0)
				r = print_value(out, json_array_at(v, i), depth + 1);
		}
		return r ? r : buf_append_char(out, ']');
	default:
		r = buf_append_str(out, "map[");
		for (void *it = NULL; r == 0 && (it = json_object_next(v, it, &key, &member));) {
			r = buf_printf(out, "%s%s:", n++ ? " " : "", key);
			if (r == 0)
				r = print_value(out, member, depth + 1);
		}
		return r ? r : buf_append_char(out, ']');
	}
}

static struct json *text_of(struct run *run, const struct buf *b)
{
	return make(run, write_text, buf_str(b));
}

/* ---- expressions ---- */

struct scan {
	const char *s;
	const struct json *dot;
};

static int pipeline(struct run *run, struct scan *sc, struct json **ret);

static int bad(struct run *run, const char *what, const char *at)
{
	return err_set(run->err, ERR_INVALID, 0, "template parsing error: %s at \"%.60s\"", what, at);
}

static void blanks(struct scan *sc)
{
	while (isspace((unsigned char)*sc->s))
		sc->s++;
}

static size_t name_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/* .A.B.C after a value. */
static struct json *fields(struct scan *sc, struct json *v)
{
	while (*sc->s == '.' && name_len(sc->s + 1)) {
		size_t len = name_len(sc->s + 1);
		CLEANUP_FREE char *key = str_ndup(sc->s + 1, len);
		v = json_get(v, key);
		sc->s += len + 1;
	}
	return v;
}

static int quoted(struct run *run, struct scan *sc, struct json **ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(TEXT_MAX);
	char quote = *sc->s++;
	int r = 0;

	for (; r == 0 && *sc->s && *sc->s != quote; sc->s++) {
		char c = *sc->s;
		if (c == '\\' && quote == '"' && sc->s[1]) {
			c = *++sc->s;
			c = c == 'n' ? '\n' : (c == 't' ? '\t' : c);
		}
		r = buf_append_char(&text, c);
	}
	if (r < 0 || *sc->s != quote)
		return bad(run, "unterminated quoted string", sc->s);
	sc->s++;
	*ret = text_of(run, &text);
	return 0;
}

static int number(struct run *run, struct scan *sc, struct json **ret)
{
	char *end;
	int64_t v = strtoll(sc->s, &end, 10);

	if (end == sc->s)
		return bad(run, "unexpected character", sc->s);
	sc->s = end;
	*ret = make(run, write_number, &v);
	return 0;
}

static struct json *variable(struct run *run, const char *name, size_t len)
{
	if (len == 0)
		return (struct json *)run->root;
	for (size_t i = run->variables_n; i-- > 0;)
		if (strlen(run->variables[i].name) == len && memcmp(run->variables[i].name, name, len) == 0)
			return run->variables[i].value;
	return NULL;
}

static int no_field(struct run *run, const char *key)
{
	err_set(run->err, ERR_INVALID, 0, "template parsing error: template: :1:2: executing \"\" at <.%s>: map has no entry for key \"%s\"",
		key, key);
	err_hint(run->err, "--format json   shows all fields");
	return -EINVAL;
}

/* One operand; 1 means "none here" (end, '|', ')'). */
static int operand(struct run *run, struct scan *sc, struct json **ret)
{
	blanks(sc);
	if (!*sc->s || *sc->s == '|' || *sc->s == ')')
		return 1;
	if (++run->steps > STEPS_MAX)
		return bad(run, "the template does too much", sc->s);
	if (*sc->s == '"' || *sc->s == '`')
		return quoted(run, sc, ret);
	if (*sc->s == '(') {
		if (run->depth >= DEPTH_MAX)
			return bad(run, "parentheses nested too deep", sc->s);
		sc->s++;
		run->depth++;
		int r = pipeline(run, sc, ret);
		run->depth--;
		if (r < 0)
			return r;
		if (*sc->s != ')')
			return bad(run, "unclosed left paren", sc->s);
		sc->s++;
		*ret = fields(sc, *ret);
		return 0;
	}
	if (*sc->s == '.') {
		size_t len = name_len(sc->s + 1);
		CLEANUP_FREE char *key = str_ndup(sc->s + 1, len);
		*ret = (struct json *)sc->dot;
		/* Of the whole object every field is known: a typing mistake. */
		if (len && *ret == run->root && json_kind(*ret) == JT_OBJECT && !json_get(*ret, key))
			return no_field(run, key);
		if (len)
			*ret = fields(sc, *ret);
		else
			sc->s++;
		return 0;
	}
	if (*sc->s == '$') {
		size_t len = name_len(sc->s + 1);
		*ret = variable(run, sc->s + 1, len);
		sc->s += len + 1;
		*ret = fields(sc, *ret);
		return 0;
	}
	if (word_is(sc->s, "true") || word_is(sc->s, "false") || word_is(sc->s, "nil")) {
		bool v = *sc->s == 't';
		*ret = *sc->s == 'n' ? NULL : make(run, write_flag, &v);
		sc->s += name_len(sc->s);
		return 0;
	}
	if (*sc->s == '-' || isdigit((unsigned char)*sc->s))
		return number(run, sc, ret);
	return bad(run, "unexpected word", sc->s);
}

/* ---- functions ---- */

struct call {
	struct run *run;
	struct json *args[ARGS_MAX];
	size_t n;
};

static const char *arg_str(const struct call *c, size_t i)
{
	const char *s = i < c->n ? json_str(c->args[i]) : NULL;

	return s ? s : "";
}

static struct json *fn_json(struct call *c)
{
	CLEANUP_FREE char *text = c->n ? json_dump(c->args[0]) : NULL;

	return make(c->run, write_text, text ? text : "null");
}

static struct json *fn_case(struct call *c, int kind)
{
	CLEANUP_FREE char *s = str_dup(arg_str(c, 0));
	bool first = true;

	for (char *p = s; *p; p++) {
		if (kind == 'l')
			*p = (char)tolower((unsigned char)*p);
		else if (kind == 'u' || first)
			*p = (char)toupper((unsigned char)*p);
		first = isspace((unsigned char)*p);
	}
	return make(c->run, write_text, s);
}

static struct json *fn_lower(struct call *c)
{
	return fn_case(c, 'l');
}

static struct json *fn_upper(struct call *c)
{
	return fn_case(c, 'u');
}

static struct json *fn_title(struct call *c)
{
	return fn_case(c, 't');
}

static struct json *fn_join(struct call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_len(c->args[0]); i++) {
		r = i ? buf_append_str(&text, arg_str(c, 1)) : 0;
		if (r == 0)
			r = print_value(&text, json_array_at(c->args[0], i), 0);
	}
	return text_of(c->run, &text);
}

static struct json *fn_split(struct call *c)
{
	CLEANUP_STRV struct strv parts = { 0 };
	const char *s = arg_str(c, 0), *sep = arg_str(c, 1), *at;

	while (*sep && (at = strstr(s, sep))) {
		strv_take(&parts, str_ndup(s, (size_t)(at - s)));
		s = at + strlen(sep);
	}
	strv_add(&parts, s);
	return make(c->run, write_list, &parts);
}

static struct json *fn_len(struct call *c)
{
	const struct json *v = c->args[0];
	int64_t n = json_kind(v) == JT_ARRAY ? (int64_t)json_array_len(v) :
		    json_kind(v) == JT_OBJECT ? (int64_t)json_object_len(v) :
						(int64_t)strlen(arg_str(c, 0));

	return make(c->run, write_number, &n);
}

static struct json *fn_index(struct call *c)
{
	struct json *v = c->args[0];

	for (size_t i = 1; i < c->n; i++)
		v = json_kind(v) == JT_ARRAY ? json_array_at(v, (size_t)json_i64(c->args[i], INT64_MAX)) :
					       json_get(v, arg_str(c, i));
	return v;
}

static struct json *fn_truncate(struct call *c)
{
	const char *s = arg_str(c, 0);
	int64_t max = c->n > 1 ? json_i64(c->args[1], 0) : 0;
	CLEANUP_FREE char *cut = str_ndup(s, max < 0 || (size_t)max > strlen(s) ? strlen(s) : (size_t)max);

	return make(c->run, write_text, cut);
}

static struct json *fn_slice(struct call *c)
{
	const char *s = arg_str(c, 0);
	int64_t len = (int64_t)strlen(s), from = c->n > 1 ? json_i64(c->args[1], 0) : 0, to = c->n > 2 ? json_i64(c->args[2], len) : len;

	if (from < 0 || to > len || from > to)
		return NULL;
	CLEANUP_FREE char *cut = str_ndup(s + from, (size_t)(to - from));
	return make(c->run, write_text, cut);
}

static struct json *print_all(struct call *c, bool newline)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		r = i ? buf_append_char(&text, ' ') : 0;
		if (r == 0)
			r = print_value(&text, c->args[i], 0);
	}
	if (r == 0 && newline)
		r = buf_append_char(&text, '\n');
	return r < 0 ? NULL : text_of(c->run, &text);
}

static struct json *fn_print(struct call *c)
{
	return print_all(c, false);
}

static struct json *fn_println(struct call *c)
{
	return print_all(c, true);
}

/* %s %v %d %q %% with an optional width; nothing of it reaches C's printf. */
static struct json *fn_printf(struct call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	size_t next = 1;
	int r = 0;

	for (const char *f = arg_str(c, 0); *f && r == 0; f++) {
		if (*f != '%') {
			r = buf_append_char(&text, *f);
			continue;
		}
		bool left = f[1] == '-';
		f += left;
		size_t width = 0;
		for (; isdigit((unsigned char)f[1]) && width < 1000; f++)
			width = width * 10 + (size_t)(f[1] - '0');
		if (!*++f)
			break;
		CLEANUP_BUF struct buf one = BUF_INIT(1 << 20);
		if (*f == '%')
			r = buf_append_char(&one, '%');
		else if (*f == 'q')
			r = buf_printf(&one, "\"%s\"", arg_str(c, next++));
		else
			r = print_value(&one, next < c->n ? c->args[next] : NULL, 0), next++;
		for (size_t i = one.len; !left && r == 0 && i < width; i++)
			r = buf_append_char(&text, ' ');
		if (r == 0)
			r = buf_append_str(&text, buf_str(&one));
		for (size_t i = one.len; left && r == 0 && i < width; i++)
			r = buf_append_char(&text, ' ');
	}
	return text_of(c->run, &text);
}

static int compare(const struct json *a, const struct json *b)
{
	if (json_kind(a) == JT_STRING && json_kind(b) == JT_STRING)
		return strcmp(json_str(a), json_str(b));
	if (json_kind(a) == JT_BOOL && json_kind(b) == JT_BOOL)
		return json_bool(a, false) - json_bool(b, false);
	if ((json_kind(a) == JT_INTEGER || json_kind(a) == JT_REAL) && (json_kind(b) == JT_INTEGER || json_kind(b) == JT_REAL))
		return json_double(a, 0) < json_double(b, 0) ? -1 : json_double(a, 0) > json_double(b, 0);
	return 2;
}

static struct json *flag(struct call *c, bool v)
{
	return make(c->run, write_flag, &v);
}

static struct json *fn_eq(struct call *c)
{
	bool v = false;

	for (size_t i = 1; i < c->n; i++)
		v |= compare(c->args[0], c->args[i]) == 0;
	return flag(c, v);
}

static int compare_two(struct call *c)
{
	return c->n == 2 ? compare(c->args[0], c->args[1]) : 2;
}

static struct json *fn_ne(struct call *c)
{
	return flag(c, compare_two(c) != 0);
}

static struct json *fn_lt(struct call *c)
{
	return flag(c, compare_two(c) < 0);
}

static struct json *fn_le(struct call *c)
{
	return flag(c, compare_two(c) <= 0);
}

static struct json *fn_gt(struct call *c)
{
	return flag(c, compare_two(c) == 1 || (compare_two(c) > 0 && compare_two(c) != 2));
}

static struct json *fn_ge(struct call *c)
{
	return flag(c, compare_two(c) >= 0 && compare_two(c) != 2);
}

static struct json *fn_and(struct call *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		if (!is_true(c->args[i]))
			return c->args[i];
	return c->args[c->n - 1];
}

static struct json *fn_or(struct call *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		if (is_true(c->args[i]))
			return c->args[i];
	return c->args[c->n - 1];
}

static struct json *fn_not(struct call *c)
{
	return flag(c, !is_true(c->args[0]));
}

static const struct {
	const char *name;
	struct json *(*call)(struct call *c);
} functions[] = {
	{ "json", fn_json },   { "lower", fn_lower }, { "upper", fn_upper }, { "title", fn_title },   { "join", fn_join },
	{ "split", fn_split }, { "len", fn_len },     { "index", fn_index }, { "slice", fn_slice },   { "truncate", fn_truncate },
	{ "print", fn_print }, { "html", fn_print },  { "println", fn_println }, { "printf", fn_printf }, { "eq", fn_eq },
	{ "ne", fn_ne },       { "lt", fn_lt },	      { "le", fn_le },	     { "gt", fn_gt },	      { "ge", fn_ge },
	{ "and", fn_and },     { "or", fn_or },	      { "not", fn_not },
};

/* .Label "key" of a listing's row, whose Labels are "key=value,key=value": a value
 * ends at a comma after which a key comes. */
static int label_method(struct run *run, struct scan *sc, struct json **ret)
{
	CLEANUP_BUF struct buf value = BUF_INIT(1 << 20);
	struct json *key = NULL;
	const char *labels = json_str(json_get((struct json *)sc->dot, "Labels"));

	sc->s += strlen(".Label");
	blanks(sc);
	int r = quoted(run, sc, &key);
	const char *name = r == 0 ? json_str(key) : NULL;
	size_t len = name ? strlen(name) : 0;
	for (const char *p = labels; len && p && r == 0; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (strncmp(p, name, len) != 0 || p[len] != '=')
			continue;
		const char *end = p + len + 1;
		while (*end && !(*end == ',' && strcspn(end + 1, "=") < strcspn(end + 1, ",")))
			end++;
		r = buf_append(&value, p + len + 1, (size_t)(end - p) - len - 1);
		break;
	}
	*ret = text_of(run, &value);
	return r;
}

static bool is_label_method(const char *s)
{
	return str_starts_with(s, ".Label ") && (s[7 + strspn(s + 7, " ")] == '"' || s[7 + strspn(s + 7, " ")] == '`');
}

/* One command of a pipe: a function with operands, or one operand. @piped, if
 * @has_piped, is the last argument. */
static int command(struct run *run, struct scan *sc, bool has_piped, struct json *piped, struct json **ret)
{
	struct call c = { .run = run };
	size_t len, f = ARRAY_LEN(functions);
	int r;

	blanks(sc);
	len = isalpha((unsigned char)*sc->s) ? name_len(sc->s) : 0;
	for (size_t i = 0; len && i < ARRAY_LEN(functions); i++)
		if (strlen(functions[i].name) == len && memcmp(functions[i].name, sc->s, len) == 0)
			f = i;
	bool is_literal = word_is(sc->s, "true") || word_is(sc->s, "false") || word_is(sc->s, "nil");
	if (len && f == ARRAY_LEN(functions) && !is_literal)
		return err_set(run->err, ERR_INVALID, 0, "template parsing error: function \"%.*s\" not defined", (int)len, sc->s);
	if (is_label_method(sc->s))
		return label_method(run, sc, ret);
	if (f == ARRAY_LEN(functions)) {
		r = operand(run, sc, ret);
		return r == 1 ? bad(run, "missing value for command", sc->s) : r;
	}
	sc->s += len;
	while (c.n < ARGS_MAX - 1 && (r = operand(run, sc, &c.args[c.n])) != 1) {
		if (r < 0)
			return r;
		c.n++;
	}
	if (has_piped)
		c.args[c.n++] = piped;
	bool may_be_empty = functions[f].call == fn_print || functions[f].call == fn_println;
	if (!c.n && !may_be_empty)
		return err_set(run->err, ERR_INVALID, 0, "template: wrong number of args for %s", functions[f].name);
	*ret = functions[f].call(&c);
	return 0;
}

static int pipeline(struct run *run, struct scan *sc, struct json **ret)
{
	struct json *v = NULL;
	int r = command(run, sc, false, NULL, &v);

	for (blanks(sc); r == 0 && *sc->s == '|'; blanks(sc)) {
		sc->s++;
		r = command(run, sc, true, v, &v);
	}
	*ret = v;
	return r;
}

static void set_variable(struct run *run, const char *name, size_t len, struct json *value)
{
	if (run->variables_n == VARIABLES_MAX || len >= sizeof(run->variables[0].name))
		return;
	struct variable *v = &run->variables[run->variables_n++];
	memcpy(v->name, name, len);
	v->name[len] = 0;
	v->value = value;
}

/* ---- execution ---- */

/* From piece @i inside a block: where its else or end is. */
static size_t block_stop(const struct format *f, size_t i)
{
	size_t depth = 0;

	for (; i < f->n; i++) {
		if (!f->v[i].is_action)
			continue;
		if (!depth && (word_is(f->v[i].text, "end") || word_is(f->v[i].text, "else")))
			return i;
		if (opens_block(f->v[i].text))
			depth++;
		else if (word_is(f->v[i].text, "end"))
			depth--;
	}
	return f->n;
}

static int execute(struct run *run, size_t from, size_t to, const struct json *dot);

static size_t block_end(const struct format *f, size_t i)
{
	while (i < f->n && !word_is(f->v[i].text, "end"))
		i = block_stop(f, i + 1);
	return i;
}

static int evaluate(struct run *run, const char *text, const struct json *dot, struct json **ret)
{
	struct scan sc = { text, dot };
	int r = pipeline(run, &sc, ret);

	if (r == 0 && *sc.s)
		return bad(run, "unexpected text", sc.s);
	return r;
}

static int range_items(struct run *run, const struct json *list, size_t from, size_t to, const char *names)
{
	CLEANUP_STRV struct strv vars = { 0 };
	const char *key;
	struct json *item;
	size_t mark = run->variables_n, n = 0;
	int r = 0;

	for (const char *p = strchr(names, '$'); p; p = strchr(p + 1, '$'))
		strv_take(&vars, str_ndup(p + 1, name_len(p + 1)));
	void *it = NULL;
	bool is_object = json_kind(list) == JT_OBJECT;
	while (r == 0) {
		if (is_object ? !(it = json_object_next(list, it, &key, &item)) : n >= json_array_len(list))
			break;
		int64_t number_of = (int64_t)n;
		if (!is_object)
			item = json_array_at(list, n);
		n++;
		if (++run->steps > STEPS_MAX)
			return bad(run, "the template does too much", "range");
		if (vars.n == 2)
			set_variable(run, vars.v[0], strlen(vars.v[0]),
				     is_object ? make(run, write_text, key) : make(run, write_number, &number_of));
		if (vars.n)
			set_variable(run, vars.v[vars.n - 1], strlen(vars.v[vars.n - 1]), item);
		r = execute(run, from, to, item);
		run->variables_n = mark;
	}
	return r;
}

/* An if, with or range that begins at @i with @text ("if .A"). */
static int block(struct run *run, size_t i, const char *text, const struct json *dot)
{
	const struct format *f = run->format;
	size_t word = strcspn(text, " \t\n"), stop = block_stop(f, i + 1);
	const char *expression = text + word, *assign = strstr(expression, ":=");
	CLEANUP_FREE char *names = assign ? str_ndup(expression, (size_t)(assign - expression)) : str_dup("");
	struct json *v = NULL;

	int r = evaluate(run, assign ? assign + 2 : expression, dot, &v);
	if (r < 0)
		return r;
	if (is_true(v)) {
		if (word_is(text, "range"))
			return range_items(run, v, i + 1, stop, names);
		return execute(run, i + 1, stop, word_is(text, "with") ? v : dot);
	}
	if (stop >= f->n || word_is(f->v[stop].text, "end"))
		return 0;
	const char *rest = f->v[stop].text + strlen("else");
	rest += strspn(rest, " \t\n");
	if (*rest)
		return opens_block(rest) ? block(run, stop, rest, dot) : bad(run, "unexpected text after else", rest);
	return execute(run, stop + 1, block_end(f, stop), dot);
}

static int action(struct run *run, const char *text, const struct json *dot)
{
	const char *assign = text[0] == '$' ? strstr(text, "=") : NULL;
	struct json *v = NULL;

	if (assign && assign > text && (assign[-1] == ':' || assign[-1] == ' ')) {
		int r = evaluate(run, assign + 1, dot, &v);
		if (r == 0)
			set_variable(run, text + 1, name_len(text + 1), v);
		return r;
	}
	int r = evaluate(run, text, dot, &v);
	if (r < 0)
		return r;
	r = print_value(run->out, v, 0);
	return r < 0 ? err_set(run->err, ERR_SYSTEM, r, "format the output") : 0;
}

static int execute(struct run *run, size_t from, size_t to, const struct json *dot)
{
	int r = 0;

	for (size_t i = from; r == 0 && i < to; i++) {
		const struct piece *p = &run->format->v[i];
		if (!p->is_action) {
			r = buf_append_str(run->out, p->text);
			if (r < 0)
				return err_set(run->err, ERR_SYSTEM, r, "format the output");
		} else if (opens_block(p->text)) {
			r = block(run, i, p->text, dot);
			i = block_end(run->format, block_stop(run->format, i + 1));
		} else {
			r = action(run, p->text, dot);
		}
	}
	return r;
}

int format_execute(const struct format *format, const struct json *value, struct buf *out, struct err *err)
{
	struct run run = { .format = format, .out = out, .root = value, .err = err };
	int r = execute(&run, 0, format->n, value);

	for (size_t i = 0; i < run.arena_n; i++)
		json_free(run.arena[i]);
	free(run.arena);
	return r;
}

int format_print_object(FILE *out, const char *text, const struct buf *object, struct err *err)
{
	CLEANUP_FORMAT struct format *f = NULL;
	CLEANUP_JSON struct json *value = NULL;
	CLEANUP_BUF struct buf line = BUF_INIT(16 << 20);

	int r = format_parse(text, &f, err);
	if (r == 0)
		r = json_parse(object->data, object->len, "object", &value, err);
	if (r == 0)
		r = format_execute(f, value, &line, err);
	if (r < 0)
		return r;
	fprintf(out, "%s\n", buf_str(&line));
	return 0;
}
