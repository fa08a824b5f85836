/* SPDX-License-Identifier: Apache-2.0 */
/* hull events: what has happened, and what happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "clock.h"
#include "event_watch.h"
#include "events.h"
#include "format.h"

struct events_opts {
	const char *since, *until, *format;
	struct strv filter;
};

static const struct option options[] = {
	{ "filter", 'f', OPT_LIST, offsetof(struct events_opts, filter), .value = "filter",
	  .help = "Filter output based on conditions provided", .complete = COMPLETE_WORDS,
	  .words = "container= event= image= label= network= scope= type= volume=" },
	{ "format", 0, OPT_STR, offsetof(struct events_opts, format), .help = "json or a Go template" },
	{ "since", 0, OPT_STR, offsetof(struct events_opts, since), .help = "Show all events created since timestamp" },
	{ "until", 0, OPT_STR, offsetof(struct events_opts, until), .help = "Stream events until this timestamp" },
	OPTIONS_END
};

static const char *attribute(const struct event_row *e, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < e->attributes.n; i++)
		if (strncmp(e->attributes.v[i], key, len) == 0 && e->attributes.v[i][len] == '=')
			return e->attributes.v[i] + len + 1;
	return NULL;
}

/* ---- filters ---- */

static bool is_image(const char *name, const char *wanted)
{
	size_t len = strlen(wanted);
	return name && strncmp(name, wanted, len) == 0 && (!name[len] || ((name[len] == ':' || name[len] == '@') && !strchr(wanted, '@')));
}

/* "exec_create" and "health_status" stand for what follows the colon too. */
static bool is_action(const char *action, const char *wanted)
{
	size_t len = strlen(wanted);
	return strncmp(action, wanted, len) == 0 && (!action[len] || action[len] == ':');
}

static bool has_label(const struct event_row *e, const char *wanted)
{
	size_t len = strcspn(wanted, "=");
	CLEANUP_FREE char *key = str_ndup(wanted, len);
	const char *value = attribute(e, key);
	return value && (!wanted[len] || str_eq(value, wanted + len + 1));
}

static bool is_actor(const struct event_row *e, const char *type, const char *wanted)
{
	const char *name = attribute(e, "name");
	/* What happens to a volume or a network says which container it is for. */
	if (!str_eq(e->type, type))
		return str_eq(type, "container") && str_eq(attribute(e, "container"), wanted);
	return str_starts_with(e->actor, wanted) || str_eq(name, *wanted == '/' ? wanted + 1 : wanted);
}

static bool matches_one(const struct event_row *e, const char *key, const char *value)
{
	if (str_eq(key, "type"))
		return str_eq(e->type, value);
	if (str_eq(key, "event"))
		return is_action(e->action, value);
	if (str_eq(key, "image"))
		return is_image(attribute(e, str_eq(e->type, "image") ? "name" : "image"), value) ||
		       (str_eq(e->type, "image") && str_starts_with(e->actor, value));
	if (str_eq(key, "label"))
		return has_label(e, value);
	if (str_eq(key, "scope"))
		return str_eq(value, "local");
	return is_actor(e, key, value);
}

static const char *const filter_keys[] = { "type", "event", "image", "label", "scope", "container", "volume", "network", "daemon", NULL };

/* One of the values of each key. */
static bool is_wanted(const struct event_row *e, const struct strv *filter)
{
	for (const char *const *key = filter_keys; *key; key++) {
		bool any = false, asked = false;
		size_t len = strlen(*key);
		for (size_t i = 0; i < filter->n; i++) {
			if (strncmp(filter->v[i], *key, len) != 0 || filter->v[i][len] != '=')
				continue;
			asked = true;
			any |= matches_one(e, *key, filter->v[i] + len + 1);
		}
		if (asked && !any)
			return false;
	}
	return true;
}

static int check_filter(const struct strv *filter, struct err *err)
{
	for (size_t i = 0; i < filter->n; i++) {
		const char *pair = filter->v[i];
		size_t len = strcspn(pair, "=");
		bool known = false;
		for (const char *const *key = filter_keys; *key && pair[len]; key++)
			known |= strlen(*key) == len && strncmp(*key, pair, len) == 0;
		if (!pair[len])
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-f, --filter\" flag: invalid filter '%s'", pair, pair);
		if (!known)
			return err_set(err, ERR_INVALID, 0, "invalid filter '%.*s'", (int)len, pair);
	}
	return 0;
}

/* ---- output ---- */

/* As Docker prints it: local time, always nine digits. */
static void print_time(int64_t wall_ns)
{
	char day[40], zone[8];
	time_t s = (time_t)(wall_ns / 1000000000);
	struct tm tm;
	if (!localtime_r(&s, &tm) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) || !strftime(zone, sizeof(zone), "%z", &tm))
		return;
	printf("%s.%09d", day, (int)(wall_ns % 1000000000));
	if (tm.tm_gmtoff == 0)
		printf("Z");
	else
		printf("%.3s:%s", zone, zone + 3);
}

static void print_line(struct event_row *e)
{
	print_time(e->wall_ns);
	printf(" %s %s %s", e->type, e->action, e->actor);
	strv_sort(&e->attributes);
	for (size_t i = 0; i < e->attributes.n; i++)
		printf("%s%s", i ? ", " : " (", e->attributes.v[i]);
	printf("%s\n", e->attributes.n ? ")" : "");
}

static void write_event(const struct event_row *e, bool names, struct json_writer *w)
{
	const char *from = attribute(e, str_eq(e->type, "image") ? "name" : "image");
	jw_object(w);
	/* The old names, and what a template calls them. */
	if (str_eq(e->type, "container") || str_eq(e->type, "image")) {
		jw_kv_str(w, names ? "Status" : "status", e->action);
		jw_kv_str(w, names ? "ID" : "id", e->actor);
		if (from && str_eq(e->type, "container"))
			jw_kv_str(w, names ? "From" : "from", from);
	}
	jw_kv_str(w, "Type", e->type);
	jw_kv_str(w, "Action", e->action);
	jw_key(w, "Actor");
	jw_object(w);
	jw_kv_str(w, "ID", e->actor);
	jw_key(w, "Attributes");
	jw_object(w);
	for (size_t i = 0; i < e->attributes.n; i++) {
		size_t len = strcspn(e->attributes.v[i], "=");
		CLEANUP_FREE char *key = str_ndup(e->attributes.v[i], len);
		/* An attribute of the event wins over a label of the same name. */
		if (attribute(e, key) == e->attributes.v[i] + len + 1)
			jw_kv_str(w, key, e->attributes.v[i] + len + 1);
	}
	jw_object_end(w);
	jw_object_end(w);
	jw_kv_str(w, names ? "Scope" : "scope", "local");
	jw_kv_i64(w, names ? "Time" : "time", e->wall_ns / 1000000000);
	jw_kv_i64(w, names ? "TimeNano" : "timeNano", e->wall_ns);
	jw_object_end(w);
}

/* "json", "{{json .}}", "{{ json . }}": the event itself, not its fields by name. */
static bool is_json(const char *format)
{
	char bare[16];
	size_t n = 0;
	for (const char *p = format; *p && n < sizeof(bare) - 1; p++)
		if (*p != ' ')
			bare[n++] = *p;
	bare[n] = '\0';
	return !strchr(format, '{') || str_eq(bare, "{{json.}}");
}

struct stream {
	const struct events_opts *opts;
	int64_t last;
	struct err *err;
};

static int show(const struct event_row *event, void *ctx)
{
	struct stream *s = ctx;
	struct event_row e = *event; /* its attributes are sorted in place */
	const char *format = s->opts->format;
	/* They come by time, and are recorded in any order. */
	if (e.seq > s->last)
		s->last = e.seq;
	if (!is_wanted(&e, &s->opts->filter))
		return 0;
	if (!format) {
		print_line(&e);
		return 0;
	}
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	write_event(&e, !is_json(format), &w);
	int r = json_writer_finish(&w);
	return r < 0 ? err_set(s->err, ERR_SYSTEM, r, "print an event") : format_print_object(stdout, format, &text, s->err);
}

static int find_times(const struct events_opts *o, int64_t *since, int64_t *until, struct err *err)
{
	int64_t now = clock_wall_ns();
	*since = now;
	*until = 0;
	if (o->since && clock_parse_since(o->since, now, since) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid value for \"since\": %s", o->since);
	if (o->until && clock_parse_since(o->until, now, until) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid value for \"until\": %s", o->until);
	return 0;
}

/* Milliseconds until @until; -1: for ever. */
static int remaining_ms(int64_t until)
{
	if (!until)
		return -1;
	int64_t ms = (until - clock_wall_ns()) / 1000000 + 1;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static int follow(struct engine *engine, const struct events_opts *o, struct err *err)
{
	struct stream s = { .opts = o, .err = err };
	CLEANUP_FD int watch = -1;
	int64_t since, until;
	int r = find_times(o, &since, &until, err);
	/* Watching begins first, so that nothing falls between. */
	if (r == 0)
		r = event_watch_open(engine, &watch, err);
	while (r >= 0) {
		r = events_drain(engine, err);
		if (r >= 0)
			r = events_read(engine, s.last, since, until, show, &s, err);
		/* Who reads is gone: that is the end. */
		if (r >= 0 && (fflush(stdout) == EOF || ferror(stdout)))
			return 0;
		if (r < 0 || (until && clock_wall_ns() >= until))
			break;
		r = event_watch_wait(watch, remaining_ms(until));
		if (r == -EINTR)
			r = 0;
	}
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "wait for events") : r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct events_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	int r = check_filter(&o->filter, &err);
	if (r == 0)
		r = engine_open(&engine, &err);
	if (r == 0)
		r = follow(engine, o, &err);
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_events = {
	.names = { "events", "system events" },
	.args = "[OPTIONS]",
	.brief = "Get real time events from the server",
	.details = "Without --until it goes on until it is interrupted.",
	.examples = "hull events --since 1h --until 0s\nhull events -f container=web -f event=die\n"
		    "hull events --format '{{.Time}} {{.Action}} {{.Actor.Attributes.name}}'\n",
	.options = options,
	.opts_size = sizeof(struct events_opts),
	.is_docker = true,
	.run = run,
};
