/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "test.h"

struct opts {
	bool interactive, tty;
	enum tri init;
	const char *name;
	struct strv publish;
	int64_t memory, number, interval_ns;
	uint64_t count;
	double cpus;
	struct strv labels;
	const char *user;
	int called;
};

static int call(void *opts, const char *value, struct err *err)
{
	struct opts *o = opts;

	o->called++;
	return str_eq(value, "no") ? err_set(err, ERR_INVALID, 0, "not this one") : 0;
}

static const struct option table[] = {
	{ "interactive", 'i', OPT_BOOL, offsetof(struct opts, interactive), .help = "x" },
	{ "tty", 't', OPT_BOOL, offsetof(struct opts, tty), .help = "x" },
	{ "init", 0, OPT_TRI, offsetof(struct opts, init), .help = "x" },
	{ "name", 0, OPT_STR, offsetof(struct opts, name), .help = "x" },
	{ "publish", 'p', OPT_LIST, offsetof(struct opts, publish), .help = "x" },
	{ "memory", 'm', OPT_SIZE, offsetof(struct opts, memory), .help = "x" },
	{ "number", 'n', OPT_INT, offsetof(struct opts, number), .help = "x" },
	{ "interval", 0, OPT_DURATION, offsetof(struct opts, interval_ns), .help = "x" },
	{ "count", 'c', OPT_UINT, offsetof(struct opts, count), .help = "x" },
	{ "cpus", 0, OPT_DOUBLE, offsetof(struct opts, cpus), .help = "x" },
	{ "label", 'l', OPT_CSV, offsetof(struct opts, labels), .help = "x" },
	{ "user", 'u', OPT_STR, offsetof(struct opts, user), .help = "x" },
	{ "call", 0, OPT_CALL, 0, .help = "x", .set = call },
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

/* Every way in which Docker's users write an option. */
TEST(one_value_in_all_its_forms)
{
	static const char *const lines[][4] = {
		{ "-p8080:80" }, { "-p=8080:80" }, { "-p", "8080:80" }, { "--publish=8080:80" }, { "--publish", "8080:80" },
		{ "-itp8080:80" }, { "-itp=8080:80" }, { "-itp", "8080:80" }, { "-ti", "-p", "8080:80" },
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		CHECK_EQ(parse(&o, &p, true, lines[i], &err), 0);
		CHECK_EQ(o.publish.n, 1);
		CHECK_STR(o.publish.v[0], "8080:80");
		CHECK_EQ(p.n_args, 0);
		CHECK(i < 5 || (o.interactive && o.tty));
		free(p.args);
		options_free(table, &o);
	}
}

TEST(booleans)
{
	static const struct {
		const char *word;
		bool tty;
		enum tri init;
	} cases[] = {
		{ "--tty", true, TRI_UNSET },	    { "-t", true, TRI_UNSET },	       { "--tty=true", true, TRI_UNSET },
		{ "-t=1", true, TRI_UNSET },	    { "--tty=false", false, TRI_UNSET }, { "-t=false", false, TRI_UNSET },
		{ "--init", false, TRI_TRUE },	    { "--init=false", false, TRI_FALSE }, { "-it", true, TRI_UNSET },
		{ "-it=false", false, TRI_UNSET }, { "--tty=T", true, TRI_UNSET },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		/* A word after a boolean is never its value. */
		CHECK_EQ(parse(&o, &p, true, ARGV(cases[i].word, "false"), &err), 0);
		if (o.tty != cases[i].tty || o.init != cases[i].init)
			test_fail(__FILE__, __LINE__, "%s", cases[i].word);
		CHECK_EQ(p.n_args, 1);
		free(p.args);
	}
}

TEST(values_that_look_like_something_else)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	/* A value may begin with a dash, be empty, or hold an equals sign; a lone
	 * dash is an argument. */
	CHECK_EQ(parse(&o, &p, false, ARGV("--name", "--tty", "-n", "-1", "--user=", "-p", "", "--publish=A=b", "-", "-l", "a,b,,c"), &err),
		 0);
	CHECK_STR(o.name, "--tty");
	CHECK(!o.tty);
	CHECK_EQ(o.number, -1);
	CHECK_STR(o.user, "");
	CHECK_EQ(o.publish.n, 2);
	CHECK_STR(o.publish.v[0], "");
	CHECK_STR(o.publish.v[1], "A=b");
	CHECK_EQ(p.n_args, 1);
	CHECK_STR(p.args[0], "-");
	CHECK(o.labels.n >= 3);
	free(p.args);
	options_free(table, &o);
}

TEST(repeated)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	/* The last of a single value counts, lists gather, in order. */
	CHECK_EQ(parse(&o, &p, false, ARGV("--name=a", "-p1", "--tty", "--name", "b", "-p", "2", "--tty=false", "-l", "x", "-ly,z"), &err), 0);
	CHECK_STR(o.name, "b");
	CHECK(!o.tty);
	CHECK_EQ(o.publish.n, 2);
	CHECK_STR(o.publish.v[1], "2");
	CHECK_EQ(o.labels.n, 3);
	CHECK_STR(o.labels.v[2], "z");
	free(p.args);
	options_free(table, &o);
}

TEST(numbers_sizes_durations)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	CHECK_EQ(parse(&o, &p, false, ARGV("--interval=1m30s", "-c", "18446744073709551615", "--cpus", "1.5", "-m", "1.5g"), &err), 0);
	CHECK_EQ(o.interval_ns, 90000000000ll);
	CHECK(o.count == UINT64_MAX);
	CHECK(o.cpus > 1.49 && o.cpus < 1.51);
	CHECK_EQ(o.memory, 1610612736);
	free(p.args);
}

TEST(end_of_options)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	CHECK_EQ(parse(&o, &p, false, ARGV("a", "-t", "--", "-i", "--", "--nope"), &err), 0);
	CHECK(o.tty && !o.interactive);
	CHECK_EQ(p.n_args, 4);
	CHECK_STR(p.args[0], "a");
	CHECK_STR(p.args[1], "-i");
	CHECK_STR(p.args[2], "--");
	CHECK_STR(p.args[3], "--nope");
	free(p.args);

	/* "--" before the image, and one that belongs to its command. */
	CHECK_EQ(parse(&o, &p, true, ARGV("--", "img", "--", "-x"), &err), 0);
	CHECK_EQ(p.n_args, 3);
	CHECK_STR(p.args[1], "--");
	free(p.args);
}

TEST(help_is_known_everywhere)
{
	static const char *const lines[][3] = { { "--help" }, { "-h" }, { "-th" }, { "x", "--help" } };

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		CHECK_EQ(parse(&o, &p, false, lines[i], &err), 0);
		CHECK(p.help);
		free(p.args);
	}
	/* But what follows the first argument is the command's. */
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;
	CHECK_EQ(parse(&o, &p, true, ARGV("img", "--help"), &err), 0);
	CHECK(!p.help && p.n_args == 2);
	free(p.args);
}

TEST(setters)
{
	struct opts o = { 0 };
	struct option_parse p;
	struct err err = ERR_INIT;

	CHECK_EQ(parse(&o, &p, false, ARGV("--call", "x", "--call=y"), &err), 0);
	CHECK_EQ(o.called, 2);
	free(p.args);
	CHECK(parse(&o, &p, false, ARGV("--call=no"), &err) < 0);
	CHECK_STR(err.msg, "invalid argument \"no\" for \"--call\" flag: not this one");
	free(p.args);
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
		{ "-itp", "flag needs an argument: 'p' in -itp" },
		{ "--", NULL },
		{ "--=x", "bad flag syntax: --=x" },
		{ "---x", "unknown flag: ---x" },
		{ "--publsh=1", "unknown flag: --publsh" },
		{ "--name1", "unknown flag: --name1" },
		{ "-c-1", "invalid argument \"-1\" for \"-c, --count\" flag: strconv.ParseUint: parsing \"-1\": invalid syntax" },
		{ "-n=99999999999999999999",
		  "invalid argument \"99999999999999999999\" for \"-n, --number\" flag: strconv.ParseInt: parsing "
		  "\"99999999999999999999\": value out of range" },
		{ "-n=", "invalid argument \"\" for \"-n, --number\" flag: strconv.ParseInt: parsing \"\": invalid syntax" },
		{ "--cpus=inf", "invalid argument \"inf\" for \"--cpus\" flag: strconv.ParseFloat: parsing \"inf\": invalid syntax" },
		{ "--interval=5", "invalid argument \"5\" for \"--interval\" flag: time: invalid duration \"5\"" },
		{ "-m=-1", "invalid argument \"-1\" for \"-m, --memory\" flag: invalid size: '-1'" },
		{ "-nx", "invalid argument \"x\" for \"-n, --number\" flag: strconv.ParseInt: parsing \"x\": invalid syntax" },
		{ "-m=abc", "invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		int r = parse(&o, &p, false, ARGV(cases[i].word), &err);
		CHECK_EQ(r < 0, cases[i].message != NULL);
		if (r < 0)
			CHECK_STR(err.msg, cases[i].message);
		if (i == 0)
			CHECK_STR(p.nearest->name, "memory");
		free(p.args);
		options_free(table, &o);
	}
}

/* The word that was wrong is known, so that the whole line can be suggested. */
TEST(nearest)
{
	static const struct {
		const char *word, *nearest;
	} cases[] = { { "--memroy=1", "memory" }, { "--pubilsh", "publish" }, { "--zzzzzzzz", NULL }, { "--intreactive", "interactive" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct opts o = { 0 };
		struct option_parse p;
		struct err err = ERR_INIT;
		CHECK(parse(&o, &p, false, ARGV("-t", cases[i].word), &err) < 0);
		CHECK_STR(p.bad, cases[i].word);
		if (cases[i].nearest)
			CHECK_STR(p.nearest->name, cases[i].nearest);
		else
			CHECK(!p.nearest);
		free(p.args);
	}
}

TEST_MAIN()
