/* SPDX-License-Identifier: Apache-2.0 */
#include "prune_cli.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

bool prune_is_confirmed(const char *warning)
{
	char answer[8] = "";
	printf("WARNING! %sAre you sure you want to continue? [y/N] ", warning);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

void prune_print(const char *title, const struct strv *names, int64_t freed_bytes)
{
	char size[32];
	if (names->n)
		printf("%s:\n", title);
	for (size_t i = 0; i < names->n; i++)
		printf("%s\n", names->v[i]);
	printf("%sTotal reclaimed space: %s\n", names->n ? "\n" : "", str_human_size((double)freed_bytes, size));
}

void prune_filter_done(struct prune_filter *filter)
{
	strv_free(&filter->labels);
	strv_free(&filter->not_labels);
}

int prune_filter_read(const struct strv *pairs, struct prune_filter *ret, struct err *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const char *pair = pairs->v[i], *value = strchr(pair, '=');
		if (!value)
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--filter\" flag: invalid filter '%s'", pair, pair);
		value++;
		if (str_starts_with(pair, "label!="))
			strv_add(&ret->not_labels, value);
		else if (str_starts_with(pair, "label="))
			strv_add(&ret->labels, value);
		else if (!str_starts_with(pair, "until="))
			return err_set(err, ERR_INVALID, 0, "invalid filter '%.*s'", (int)strcspn(pair, "="), pair);
		else if (clock_parse_since(value, clock_wall_ns(), &ret->until_ns) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid value for \"until\": %s", value);
	}
	return 0;
}
