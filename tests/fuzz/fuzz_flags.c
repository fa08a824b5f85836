/* SPDX-License-Identifier: Apache-2.0 */
/* Everything on a command line that has a grammar. The first byte chooses the
 * parser, each further line is a value (for 'l' and 'c': a word of one line). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complete.h"
#include "flag_parse.h"
#include "run_flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int throttle(struct container_config *c, const char *value, struct err *err)
{
	return flag_parse_throttle(&c->blkio_read_bps, &c->blkio_read_bps_n, value, true, err);
}

static int rate(struct container_config *c, const char *value, struct err *err)
{
	return flag_parse_throttle(&c->blkio_write_iops, &c->blkio_write_iops_n, value, false, err);
}

static int weight(struct container_config *c, const char *value, struct err *err)
{
	return flag_parse_weight(&c->blkio_weight_device, &c->blkio_weight_device_n, value, err);
}

static int device_rule(struct container_config *c, const char *value, struct err *err)
{
	return flag_check_device_rule(value, err);
}

static int sysctl(struct container_config *c, const char *value, struct err *err)
{
	return flag_check_sysctl(value, err);
}

static int isolation(struct container_config *c, const char *value, struct err *err)
{
	const char *level;

	return run_flags_isolation(value, &level, err);
}

static int size(struct container_config *c, const char *value, struct err *err)
{
	int64_t n;
	int r = str_parse_size_bytes(value, &n);

	return r < 0 ? err_set(err, ERR_INVALID, 0, "size") : r;
}

static int duration(struct container_config *c, const char *value, struct err *err)
{
	int64_t n;
	int r = str_parse_duration_ns(value, &n);

	return r < 0 ? err_set(err, ERR_INVALID, 0, "duration") : r;
}

static const struct {
	char letter;
	int (*parse)(struct container_config *c, const char *value, struct err *err);
} parsers[] = {
	{ 'p', flag_parse_publish }, { 'x', flag_parse_expose },  { 'v', flag_parse_volume },	{ 'm', flag_parse_mount },
	{ 't', flag_parse_tmpfs },   { 'd', flag_parse_device },  { 'r', device_rule },		{ 'u', flag_parse_ulimit },
	{ 'R', flag_parse_restart }, { 'B', throttle },		  { 'O', rate },		{ 'w', weight },
	{ 'n', flag_parse_network }, { 'h', flag_parse_add_host }, { 's', sysctl },		{ 'I', isolation },
	{ 'S', size },		     { 'D', duration },
};

/* What was accepted can be written and read again. */
static void check_round_trip(const struct container_config *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(16 << 20);
	CLEANUP_CONTAINER_CONFIG struct container_config *again = NULL;
	struct err err = ERR_INIT;

	if (container_config_write(c, &text) == 0 && container_config_parse(text.data, text.len, &again, &err) < 0) {
		fprintf(stderr, "%s: %s\n", err.msg, buf_str(&text));
		abort();
	}
}

/* An error without a text, or a text without an error, is a bug. */
static void parse_values(char letter, const struct strv *values)
{
	for (size_t p = 0; p < ARRAY_LEN(parsers); p++) {
		if (parsers[p].letter != letter)
			continue;
		for (size_t i = 0; i < values->n; i++) {
			CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();
			struct err err = ERR_INIT;
			int r = parsers[p].parse(c, values->v[i], &err);
			if ((r < 0) != err_is_set(&err))
				abort();
			if (r == 0)
				check_round_trip(c);
		}
	}
}

static void parse_line(const struct strv *words)
{
	struct run_opts opts = { 0 };
	struct option_parse p = { .tables = { run_flags_common, run_flags_run }, .opts = &opts, .stop_at_first = true };
	struct err err = ERR_INIT;
	int r = options_parse(&p, (int)words->n, words->v, &err);

	if ((r < 0) != err_is_set(&err))
		abort();
	free(p.args);
	options_free(run_flags_common, &opts);
	options_free(run_flags_run, &opts);
}

static void complete(const struct strv *words)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	/* The state of this machine has no part in it. */
	setenv("HULL_ROOT", "/nonexistent", 1);
	complete_words(out, (int)words->n, words->v);
	fclose(out);
	if (!len || text[len - 1] != '\n')
		abort();
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1 || len > 65536)
		return 0;
	CLEANUP_FREE char *text = str_ndup((const char *)data + 1, len - 1);
	CLEANUP_STRV struct strv values = { 0 };
	size_t end = strlen(text);
	if (end && text[end - 1] == '\n')
		text[end - 1] = '\0';
	strv_split(&values, text, '\n');
	if (data[0] == 'l') {
		parse_line(&values);
	} else if (data[0] == 'c') {
		complete(&values);
	} else if (data[0] == 'e') {
		CLEANUP_STRV struct strv pairs = { 0 };
		struct err err = ERR_INIT;
		if ((flag_parse_pairs(&pairs, text, "file", true, &err) < 0) != err_is_set(&err))
			abort();
	} else {
		parse_values((char)data[0], &values);
	}
	return 0;
}
