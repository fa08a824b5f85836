/* SPDX-License-Identifier: Apache-2.0 */
/* A run over the pieces of a template: text is copied, actions are evaluated, blocks
 * chosen and repeated. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

#include "format_internal.h"

/* From piece @i inside a block: where its else or end is. */
static size_t block_stop(const struct format *f, size_t i)
{
	size_t depth = 0;

	for (; i < f->n; i++) {
		if (!f->v[i].is_action)
			continue;
		if (!depth && (action_is(f->v[i].text, "end") || action_is(f->v[i].text, "else")))
			return i;
		if (action_opens_block(f->v[i].text))
			depth++;
		else if (action_is(f->v[i].text, "end"))
			depth--;
	}
	return f->n;
}

static int execute(struct run *run, size_t from, size_t to, const struct json *dot);

static size_t block_end(const struct format *f, size_t i)
{
	while (i < f->n && !action_is(f->v[i].text, "end"))
		i = block_stop(f, i + 1);
	return i;
}

/* One turn of a range: $key and $value, as far as they are named. */
static int range_item(struct run *run, const struct strv *vars, struct json *key, struct json *item, size_t from, size_t to)
{
	size_t mark = run->variables_n;
	if (++run->steps > FORMAT_STEPS_MAX)
		return expression_bad(run, "the template does too much", "range");
	if (vars->n == 2)
		run_set_variable(run, vars->v[0], strlen(vars->v[0]), key);
	if (vars->n)
		run_set_variable(run, vars->v[vars->n - 1], strlen(vars->v[vars->n - 1]), item);
	int r = execute(run, from, to, item);
	run->variables_n = mark;
	return r;
}

static int range_items(struct run *run, const struct json *list, size_t from, size_t to, const char *names)
{
	CLEANUP_STRV struct strv vars = { 0 }, keys = { 0 };
	int r = 0;
	for (const char *p = strchr(names, '$'); p; p = strchr(p + 1, '$'))
		strv_take(&vars, str_ndup(p + 1, expression_name_len(p + 1)));
	if (json_kind(list) == JT_OBJECT)
		value_keys(list, &keys);
	for (size_t i = 0; r == 0 && i < keys.n; i++)
		r = range_item(run, &vars, value_text(run, keys.v[i]), json_get(list, keys.v[i]), from, to);
	for (size_t i = 0; r == 0 && i < json_array_len(list); i++)
		r = range_item(run, &vars, value_number(run, (int64_t)i), json_array_at(list, i), from, to);
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

	int r = expression_evaluate(run, assign ? assign + 2 : expression, dot, &v);
	if (r < 0)
		return r;
	if (value_is_true(v)) {
		if (action_is(text, "range"))
			return range_items(run, v, i + 1, stop, names);
		return execute(run, i + 1, stop, action_is(text, "with") ? v : dot);
	}
	if (stop >= f->n || action_is(f->v[stop].text, "end"))
		return 0;
	const char *rest = f->v[stop].text + strlen("else");
	rest += strspn(rest, " \t\n");
	if (*rest)
		return action_opens_block(rest) ? block(run, stop, rest, dot) : expression_bad(run, "unexpected text after else", rest);
	return execute(run, stop + 1, block_end(f, stop), dot);
}

static int action(struct run *run, const char *text, const struct json *dot)
{
	const char *assign = text[0] == '$' ? strstr(text, "=") : NULL;
	struct json *v = NULL;

	if (assign && assign > text && (assign[-1] == ':' || assign[-1] == ' ')) {
		int r = expression_evaluate(run, assign + 1, dot, &v);
		if (r == 0)
			run_set_variable(run, text + 1, expression_name_len(text + 1), v);
		return r;
	}
	int r = expression_evaluate(run, text, dot, &v);
	if (r < 0)
		return r;
	r = value_print(run->out, v);
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
		} else if (action_opens_block(p->text)) {
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
