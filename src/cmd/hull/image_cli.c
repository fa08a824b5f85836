/* SPDX-License-Identifier: Apache-2.0 */
#include "image_cli.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "event_log.h"
#include "format.h"
#include "json.h"
#include "str.h"
#include "platform.h"

/* The monitor is not asked: a container that the engine has started and not
 * yet recorded as exited counts as running. */
static int find_user(void *ctx, const char *image_id, struct image_user *ret, struct err *err)
{
	struct store *store = ctx;
	int64_t one;
	int r = db_query_i64(store->db, &one, err, "SELECT 1 FROM sqlite_master WHERE name='containers'", "");
	if (r <= 0)
		return r;
	CLEANUP_DB_STMT struct db_stmt *q = NULL;
	r = db_query(store->db, &q, err,
		     "SELECT id, status = 2 FROM containers WHERE image = ? ORDER BY status = 2 DESC LIMIT 1", "s",
		     image_id);
	if (r < 0 || (r = db_next(q, err)) <= 0)
		return r;
	snprintf(ret->container, sizeof(ret->container), "%s", db_text(q, 0));
	ret->is_running = db_i64(q, 1);
	return 1;
}

struct image_users image_cli_users(struct store *store)
{
	return (struct image_users){ find_user, store };
}

/* ---- listings ---- */

void image_cli_event(struct store *store, const char *action, const char *id, const char *name)
{
	CLEANUP_FD int run = open(store->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FREE char *text = str_printf("name=%s", name ? name : id);
	struct event event = { .wall_ns = clock_wall_ns(), .type = "image", .action = action, .id = id, .attrs = { text }, .attrs_n = 1 };
	/* What was done is done: an event that cannot be noted is lost. */
	if (run < 0 || event_log_append(run, &event) < 0)
		return;
}

int image_cli_check_platform(struct store *store, const char *name, const char *platform, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	if (str_is_empty(platform))
		return 0;
	int r = image_resolve(store, name, &image, err);
	if (r)
		return r;
	const struct image_config *c = image->config;
	if (platform_fits(platform, c->os, c->architecture, c->variant))
		return 0;
	r = err_set(err, ERR_NOT_FOUND, 0, "image with reference %s was found but does not provide the specified platform (%s)", name,
		    platform);
	err_why(err, "it is of %s/%s, and the store keeps one platform of an image", str_is_empty(c->os) ? "linux" : c->os,
		c->architecture ? c->architecture : "unknown");
	err_hint(err, "hull pull --platform %s %s", platform, name);
	return r;
}

void image_rows_add(struct image_rows *rows, ...)
{
	va_list ap;
	va_start(ap, rows);
	for (size_t i = 0; i < rows->columns_n; i++)
		strv_add(&rows->cells, va_arg(ap, const char *));
	va_end(ap);
}

void image_rows_done(struct image_rows *rows)
{
	strv_free(&rows->cells);
}

/* Columns of a terminal, near enough: code points. */
static size_t text_width(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void print_table(const struct image_rows *rows)
{
	size_t n = rows->columns_n, width[32] = { 0 }, last = 0;
	for (size_t c = 0; c < n; c++) {
		if (!rows->columns[c].header)
			continue;
		last = c;
		/* Docker's cells are ten wide at least, three of them empty. */
		width[c] = text_width(rows->columns[c].header) < 7 ? 7 : text_width(rows->columns[c].header);
		for (size_t i = c; i < rows->cells.n; i += n)
			if (text_width(rows->cells.v[i]) > width[c])
				width[c] = text_width(rows->cells.v[i]);
	}
	for (size_t line = 0; line <= rows->cells.n / n; line++)
		for (size_t c = 0; c < n; c++) {
			if (!rows->columns[c].header)
				continue;
			const char *cell = line ? rows->cells.v[(line - 1) * n + c] : rows->columns[c].header;
			if (c == last)
				printf("%s\n", cell);
			else
				printf("%s%*s", cell, (int)(width[c] - text_width(cell)) + 3, "");
		}
}

/* "CREATED AT" for what has a column only when it is asked for. */
static char *title_of(const struct image_column *column)
{
	CLEANUP_BUF struct buf title = BUF_INIT(256);
	int r = 0;
	if (column->header)
		return str_dup(column->header);
	for (const char *p = column->key; *p && r == 0; p++) {
		bool is_start = p > column->key && *p >= 'A' && *p <= 'Z' && p[-1] >= 'a' && p[-1] <= 'z';
		char letter = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		r = buf_printf(&title, "%s%c", is_start ? " " : "", letter);
	}
	return str_dup(buf_str(&title));
}

/* What the template made of each row, tabs between columns, as a table. */
static void align(const struct strv *lines)
{
	struct image_column column[32] = { 0 };
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = column };
	CLEANUP_STRV struct strv header = { 0 };
	strv_split(&header, lines->v[0], '\t');
	rows.columns_n = header.n < ARRAY_LEN(column) ? header.n : ARRAY_LEN(column);
	for (size_t c = 0; c < rows.columns_n; c++)
		column[c].header = header.v[c];
	for (size_t i = 1; i < lines->n; i++) {
		CLEANUP_STRV struct strv cells = { 0 };
		strv_split(&cells, lines->v[i], '\t');
		for (size_t c = 0; c < rows.columns_n; c++)
			strv_add(&rows.cells, c < cells.n ? cells.v[c] : "");
	}
	print_table(&rows);
}

int image_rows_print(const struct image_rows *rows, const char *format, struct err *err)
{
	size_t n = rows->cells.n / rows->columns_n;
	if (str_is_empty(format) || str_eq(format, "table")) {
		print_table(rows);
		return 0;
	}
	CLEANUP_STRV struct strv lines = { 0 };
	CLEANUP_FORMAT struct format *template = NULL;
	bool has_header = str_starts_with(format, "table ");
	int r = format_parse(has_header ? format + strlen("table ") : format, &template, err);
	for (size_t i = has_header ? 0 : 1; r == 0 && i <= n; i++) {
		CLEANUP_BUF struct buf object = BUF_INIT(1 << 20), line = BUF_INIT(16 << 20);
		CLEANUP_JSON struct json *value = NULL;
		struct json_writer w;
		json_writer_init(&w, &object, 0);
		jw_object(&w);
		for (size_t c = 0; c < rows->columns_n; c++) {
			const struct image_column *column = &rows->columns[c];
			CLEANUP_FREE char *title = title_of(column);
			jw_kv_str(&w, column->key, i ? rows->cells.v[(i - 1) * rows->columns_n + c] : title);
		}
		jw_object_end(&w);
		r = json_writer_finish(&w);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "print a row");
		r = json_parse(object.data, object.len, "row", &value, err);
		if (r == 0)
			r = format_execute(template, value, &line, err);
		if (r == 0 && has_header)
			strv_add(&lines, buf_str(&line));
		else if (r == 0)
			printf("%s\n", buf_str(&line));
	}
	if (r == 0 && has_header)
		align(&lines);
	return r;
}

void image_rows_print_key(const struct image_rows *rows, const char *key)
{
	for (size_t i = 0; i < rows->cells.n; i++)
		if (str_eq(rows->columns[i % rows->columns_n].key, key))
			printf("%s\n", rows->cells.v[i]);
}

/* ---- progress ---- */

#define REDRAW_MS 100
/* Where nothing can be redrawn a line now and then tells that it goes on. */
#define PLAIN_MS 5000
#define BAR_CHARS 50

/* "[=====>     ] ", as wide as Docker's; nothing on a narrow terminal. */
static void draw_bar(const struct image_event *e, bool is_wanted, char out[BAR_CHARS + 4])
{
	out[0] = '\0';
	if (!is_wanted)
		return;
	int64_t filled = e->current >= e->total ? BAR_CHARS : e->current * BAR_CHARS / e->total;
	char *p = out;
	*p++ = '[';
	for (int64_t i = 0; i < BAR_CHARS; i++)
		*p++ = i < filled ? '=' : i == filled ? '>' : ' ';
	*p++ = ']';
	*p++ = ' ';
	*p = '\0';
}

static void describe(const struct image_event *e, bool is_fancy, char *out, size_t size)
{
	char done[32], all[32], bar[BAR_CHARS + 4];
	if (e->total > 0) {
		draw_bar(e, is_fancy && cli_columns() >= 110, bar);
		snprintf(out, size, "%s  %s%s/%s", e->status, bar, str_human_size((double)e->current, done),
			 str_human_size((double)e->total, all));
	}
	else if (e->current > 0)
		snprintf(out, size, "%s  %s", e->status, str_human_size((double)e->current, done));
	else
		snprintf(out, size, "%s", e->status);
}

static void redraw(struct image_screen *s, size_t line, const char *text)
{
	size_t up = s->ids.n - line;
	fprintf(s->out, "\033[%zuA\r\033[K%s: %s\033[%zuB\r", up, s->ids.v[line], text, up);
	fflush(s->out);
}

static void report(void *ctx, const struct image_event *e)
{
	struct image_screen *s = ctx;
	char text[160];
	if (s->is_quiet)
		return;
	describe(e, s->is_fancy, text, sizeof(text));
	if (!e->id) {
		fprintf(s->out, "%s\n", text);
		return;
	}
	size_t line = 0;
	while (line < s->ids.n && !str_eq(s->ids.v[line], e->id))
		line++;
	bool is_new = line == s->ids.n;
	if (is_new) {
		strv_add(&s->ids, e->id);
		strv_add(&s->last, "");
		if (s->is_fancy)
			fputc('\n', s->out);
	}
	if (s->is_fancy) {
		/* Counting is redrawn now and then, a new word at once. */
		bool is_counting = e->current > 0 && e->current < e->total;
		if (is_counting && !is_new && clock_mono_ms() - s->drawn_ms < REDRAW_MS)
			return;
		s->drawn_ms = clock_mono_ms();
		redraw(s, line, text);
	} else if (!str_eq(s->last.v[line], e->status)) {
		fprintf(s->out, "%s: %s\n", e->id, e->status);
		fflush(s->out);
		s->drawn_ms = clock_mono_ms();
		free(s->last.v[line]);
		s->last.v[line] = str_dup(e->status);
	} else if (e->total > 0 && clock_mono_ms() - s->drawn_ms > PLAIN_MS) {
		fprintf(s->out, "%s: %s\n", e->id, text);
		fflush(s->out);
		s->drawn_ms = clock_mono_ms();
	}
}

struct image_progress image_screen_progress(struct image_screen *screen)
{
	return (struct image_progress){ report, screen };
}

void image_screen_done(struct image_screen *s)
{
	strv_free(&s->ids);
	strv_free(&s->last);
}
