/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "test.h"

struct opts {
	bool interactive, tty;
	enum tri init;
	const char *name;
	struct strv publish;
	int64_t memory, number;
};

static const struct option table[] = {
	{ "interactive", 'i', OPT_BOOL, offsetof(struct opts, interactive), .help = "x" },
	{ "tty", 't', OPT_BOOL, offsetof(struct opts, tty), .help = "x" },
	{ "init", 0, OPT_TRI, offsetof(struct opts, init), .help = "x" },
	{ "name", 0, OPT_STR, offsetof(struct opts, name), .help = "x" },
	{ "publish", 'p', OPT_LIST, offsetof(struct opts, publish), .help = "x" },
	{ "memory", 'm', OPT_SIZE, offsetof(struct opts, memory), .help = "x" },
	{ "number", 'n', OPT_INT, offsetof(struct opts, number), .help = "x" },
	OPTIONS_END
};

static int parse(struct opts *o, struct option_parse *p, bool stop, const char *const *argv, struct err *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*p = (struct option_parse){ .tables = { table }, .opts = o, .stop_at_first = stop };
	return options_parse(p, argc, (char **)(uintptr_t)argv, err);
}
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(values_bundles_and_equals)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	CHECK_EQ(parse(&o, &p, false,
		       ARGV("-itp8080:80", "-p=1:2", "-p", "3", "img", "--name=x=y", "--init=false", "-m", "1g", "--", "-i"), &err),
		 0);
	CHECK(o.interactive && o.tty);
	CHECK_EQ(o.publish.n, 3);
	CHECK_STR(o.publish.v[0], "8080:80");
	CHECK_STR(o.publish.v[1], "1:2");
	CHECK_STR(o.name, "x=y");
	CHECK_EQ(o.init, TRI_FALSE);
	CHECK_EQ(o.memory, 1 << 30);
	CHECK_EQ(p.n_args, 2);
	CHECK_STR(p.args[0], "img");
	CHECK_STR(p.args[1], "-i");
	free(p.args);
	options_free(table, &o);
}

TEST(first_argument_may_end_the_options)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	CHECK_EQ(parse(&o, &p, true, ARGV("-i", "img", "ls", "-t", "--bad"), &err), 0);
	CHECK(o.interactive && !o.tty);
	CHECK_EQ(p.n_args, 4);
	free(p.args);
}

TEST(refusals_use_pflag_s_words)
{
	static const struct {
		const char *word, *message;
	} cases[] = {
		{ "--memroy", "unknown flag: --memroy" },
		{ "-x", "unknown shorthand flag: 'x' in -x" },
		{ "-ix", "unknown shorthand flag: 'x' in -ix" },
		{ "--name", "flag needs an argument: --name" },
		{ "-p", "flag needs an argument: 'p' in -p" },
		{ "--tty=maybe",
		  "invalid argument \"maybe\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax" },
		{ "-nx", "invalid argument \"x\" for \"-n, --number\" flag: strconv.ParseInt: parsing \"x\": invalid syntax" },
		{ "-m=abc", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		CHECK(parse(&o, &p, false, ARGV(cases[i].word), &err) < 0);
		CHECK_STR(err.msg, cases[i].message);
		if (i == 0)
			CHECK_STR(p.nearest->name, "memory");
		free(p.args);
	}
}

TEST_MAIN()
