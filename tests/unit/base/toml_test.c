/* SPDX-License-Identifier: Apache-2.0 */
#include "toml.h"

#include "test.h"

static int parse(const char *text, struct toml **ret, struct err *err)
{
	*ret = NULL;
	*err = ERR_INIT;
	return toml_parse(text, strlen(text), "t", ret, err);
}

TEST(values)
{
	CLEANUP_TOML struct toml *t = NULL;
	struct err err;
	CHECK_EQ(parse("# first\n"
		       "a = \"x\\ty\\u00e9\\\"\" # then\r\n"
		       "b-c = 'C:\\n'\n"
		       "n = -1_000\n"
		       "yes = true\nno = false\n"
		       "list = [ \"1\", # one\n  '2',\n]\n"
		       "[registry.\"a.b:5\"]\n"
		       "mirrors = []\n"
		       "deep.er = 5",
		       &t, &err),
		 0);
	CHECK_EQ(t->n, 8);
	CHECK_STR(t->entries[0].string, "x\ty\xc3\xa9\"");
	CHECK_STR(t->entries[1].path.v[0], "b-c");
	CHECK_STR(t->entries[1].string, "C:\\n");
	CHECK_EQ(t->entries[2].integer, -1000);
	CHECK(t->entries[3].kind == TOML_BOOL && t->entries[3].boolean);
	CHECK(t->entries[4].kind == TOML_BOOL && !t->entries[4].boolean);
	CHECK_EQ(t->entries[5].strings.n, 2);
	CHECK_STR(t->entries[5].strings.v[1], "2");
	CHECK_EQ(t->entries[6].path.n, 3);
	CHECK_STR(t->entries[6].path.v[1], "a.b:5");
	CHECK_EQ(t->entries[6].strings.n, 0);
	CHECK_EQ(t->entries[7].path.n, 4);
	CHECK_EQ(t->entries[7].line, 12);
}

TEST(empty)
{
	CLEANUP_TOML struct toml *t = NULL;
	struct err err;
	CHECK_EQ(parse("", &t, &err), 0);
	CHECK_EQ(t->n, 0);
}

TEST(mistakes_name_their_line)
{
	const char *const bad[] = {
		"a", "a =", "a = x", "a = 1.5", "a = \"open", "a = \"\\q\"", "a = \"\\ud800\"", "a = 1 2", "= 1", "a b = 1",
		"a = [1]", "a = [\"x\" \"y\"]", "a = [\"x\"", "a = {x=1}", "[[a]]", "[a", "[a] b", "a = \"\"\"x\"\"\"",
		"a = 1\na = 2", "a..b = 1", "a = 99999999999999999999", "a = \"\x01\"", "# \x01", "a = truex", "[]",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct toml *t;
		struct err err;
		if (parse(bad[i], &t, &err) >= 0)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
		CHECK(str_starts_with(err.msg, "t:"));
	}
	struct toml *t;
	struct err err;
	CHECK(parse("a = 1\n\n[b]\nc ! 1", &t, &err) < 0);
	CHECK(str_starts_with(err.msg, "t:4: "));
}

TEST_MAIN()
