/* SPDX-License-Identifier: Apache-2.0 */
/* The tables are complete: what help, man pages and completion are made of. */
#include "cli.h"

#include <ctype.h>

#include "test.h"

static void check_table(const struct verb *v, const struct option *table)
{
	for (const struct option *o = table; o && o->name; o++) {
		if (!o->help || !*o->help)
			test_fail(__FILE__, __LINE__, "%s --%s has no help", v->names[0], o->name);
		if (o->help[strlen(o->help) - 1] == '.')
			test_fail(__FILE__, __LINE__, "%s --%s: help ends in a dot", v->names[0], o->name);
		if (o->complete == COMPLETE_WORDS && !o->words)
			test_fail(__FILE__, __LINE__, "%s --%s has no words", v->names[0], o->name);
		if (o->type != OPT_CALL && o->offset >= v->opts_size)
			test_fail(__FILE__, __LINE__, "%s --%s lies outside its struct", v->names[0], o->name);
		const struct option *tables[4] = { v->options ? v->options : v->more_options,
						   v->options ? v->more_options : NULL };
		if (option_find(tables, o->name, strlen(o->name)) != o)
			test_fail(__FILE__, __LINE__, "%s --%s is there twice", v->names[0], o->name);
		if (o->letter && option_find_letter(tables, o->letter) != o)
			test_fail(__FILE__, __LINE__, "%s -%c is there twice", v->names[0], o->letter);
	}
}

TEST(every_verb_and_option_is_described)
{
	for (const struct verb *const *v = verbs_all(); *v; v++) {
		CHECK((*v)->brief && isupper((unsigned char)(*v)->brief[0]));
		CHECK((*v)->run);
		check_table(*v, (*v)->options);
		check_table(*v, (*v)->more_options);
	}
}

TEST(every_name_leads_to_its_verb)
{
	for (const struct verb *const *v = verbs_all(); *v; v++)
		for (const char *const *name = (*v)->names; *name; name++) {
			CLEANUP_STRV struct strv words = { 0 };
			int used;
			const char *group;
			strv_split(&words, *name, ' ');
			if (verbs_find((int)words.n, words.v, &used, &group) != *v)
				test_fail(__FILE__, __LINE__, "%s is another verb's", *name);
			CHECK_EQ(used, (int)words.n);
			if (words.n == 2 && !verbs_group_brief(words.v[0]))
				test_fail(__FILE__, __LINE__, "%s: no such group", *name);
		}
}

TEST(exit_codes_by_kind)
{
	CHECK_EQ(cli_exit_code(ERR_NONE), 0);
	CHECK_EQ(cli_exit_code(ERR_INVALID), 2);
	CHECK_EQ(cli_exit_code(ERR_DENIED), 3);
	CHECK_EQ(cli_exit_code(ERR_NOT_FOUND), 1);
	CHECK_EQ(cli_exit_code(ERR_CONFLICT), 1);
	CHECK_EQ(cli_exit_code(ERR_UNSUPPORTED), 4);
	CHECK_EQ(cli_exit_code(ERR_TIMEOUT), 6);
	CHECK_EQ(cli_exit_code(ERR_SYSTEM), 1);
}

TEST(typos_find_the_verb)
{
	CHECK_STR(verbs_nearest(NULL, "verison"), "version");
	CHECK(verbs_nearest(NULL, "zzzzzzzzzz") == NULL);
}

TEST_MAIN()
