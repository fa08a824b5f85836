/* SPDX-License-Identifier: Apache-2.0 */
#include "path.h"
#include "str.h"
#include "test.h"

TEST(clean)
{
	static const char *const pairs[][2] = {
		{ "/a/b", "/a/b" }, { "/a//b/", "/a/b" }, { "/a/./b/..", "/a" }, { "/..", "/" }, { "/../../x", "/x" },
		{ "", "." },	    { ".", "." },	  { "a/..", "." },	 { "../a", "../a" }, { "a/../../b", "../b" },
		{ "/", "/" },	    { "//", "/" },
	};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		CLEANUP_FREE char *got = path_clean(pairs[i][0]);
		CHECK_STR(got, pairs[i][1]);
	}
}

TEST(below)
{
	CHECK(path_is_below("/a/b", "/a"));
	CHECK(path_is_below("/a", "/a"));
	CHECK(path_is_below("/a", "/"));
	CHECK(!path_is_below("/ab", "/a"));
	CHECK(!path_is_below("/a", "/a/b"));
}

TEST_MAIN()
