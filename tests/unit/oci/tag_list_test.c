/* SPDX-License-Identifier: Apache-2.0 */
#include "tag_list.h"

#include "buf.h"
#include "test.h"

static const char path[] = "/v2/team/app/tags/list";

/* The query, "" for none, "!" for one that is refused. */
static const char *next(const char *link)
{
	static char out[256];
	CLEANUP_FREE char *query = NULL;
	struct err err = ERR_INIT;
	int r = tag_list_next(link, path, &query, &err);
	CHECK(r == 0 || (err_is_set(&err) && *err.why && !query));
	snprintf(out, sizeof(out), "%s", r < 0 ? "!" : query ? query : "");
	return out;
}

TEST(next_pages)
{
	CHECK_STR(next(NULL), "");
	CHECK_STR(next(""), "");
	CHECK_STR(next("</v2/team/app/tags/list?last=b&n=2>; rel=\"next\""), "last=b&n=2");
	CHECK_STR(next("<https://registry.example:5000/v2/team/app/tags/list?last=b>;rel=next"), "last=b");
	CHECK_STR(next("<https://mirror.example/prefix/v2/team/app/tags/list?last=b>;rel=next"), "last=b");
	CHECK_STR(next("<?next_page=abc%3D>; rel=\"next\""), "next_page=abc%3D");
	CHECK_STR(next("</v2/team/app/tags/list?n=1>; rel=\"prev\""), "");
	CHECK_STR(next("</v2/team/app/tags/list?n=1>; rel=\"prev\", </v2/team/app/tags/list?n=2>; title=\"a, b\"; REL = NEXT"), "n=2");
	CHECK_STR(next("</v2/team/app/tags/list?n=1>"), "");
	CHECK_STR(next("</v2/team/app/tags/list?n=1; rel=next"), "");
	CHECK_STR(next("</v2/team/app/tags/list?n=1>; notrel=next; rel=nextone; =; ;, x"), "");
}

TEST(pages_elsewhere)
{
	CHECK_STR(next("</v2/other/tags/list?n=1>; rel=next"), "!");
	CHECK_STR(next("<http://169.254.169.254/latest?x=1>; rel=next"), "!");
	CHECK_STR(next("</v2/team/app/tags/list>; rel=next"), "!");
	CHECK_STR(next("</v2/team/app/tags/list?>; rel=next"), "!");
	CHECK_STR(next("</v2/team/app/tags/list?a b>; rel=next"), "!");
	CHECK_STR(next("</v2/team/app/tags/list?a#b>; rel=next"), "!");
	CHECK_STR(next("</v2/team/app/tags/list?a\x7f>; rel=next"), "!");
	CLEANUP_FREE char *query = mem_calloc(1, 5001);
	memset(query, 'a', 5000);
	CLEANUP_FREE char *link = str_printf("<?%s>; rel=next", query);
	CHECK_STR(next(link), "!");
}

static int parse(const char *text, struct strv *tags)
{
	struct err err = ERR_INIT;
	int r = tag_list_parse(text, strlen(text), tags, &err);
	CHECK(r == 0 || err_is_set(&err));
	return r;
}

TEST(pages)
{
	CLEANUP_STRV struct strv tags = { 0 };
	CHECK_EQ(parse("{\"name\":\"team/app\",\"tags\":[\"1\",\"_x.y-Z\"]}", &tags), 0);
	CHECK_EQ(parse("{\"name\":\"team/app\",\"tags\":null}", &tags), 0);
	CHECK_EQ(parse("{\"tags\":[\"2\"]}", &tags), 0);
	CHECK_EQ(tags.n, 3);
	CHECK_STR(tags.v[1], "_x.y-Z");
	CHECK_STR(tags.v[2], "2");
}

TEST(what_is_no_page)
{
	static const char *const bad[] = { "", "[", "{\"tags\":{}}", "{\"tags\":\"a\"}", "{\"tags\":[1]}", "{\"tags\":[\"\"]}",
					   "{\"tags\":[\"a/b\"]}", "{\"tags\":[\"a\\nb\"]}", "{\"tags\":[\"../x\"]}", "{\"tags\":[null]}" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP_STRV struct strv tags = { 0 };
		CHECK(parse(bad[i], &tags) < 0);
	}
}

TEST(no_more_than_can_be_meant)
{
	CLEANUP_STRV struct strv tags = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	CHECK_EQ(buf_printf(&text, "{\"tags\":[\"a\""), 0);
	for (unsigned i = 1; i < TAG_LIST_MAX; i++)
		CHECK_EQ(buf_printf(&text, ",\"a\""), 0);
	CHECK_EQ(buf_printf(&text, "]}"), 0);
	CHECK_EQ(parse(buf_str(&text), &tags), 0);
	CHECK_EQ(tags.n, TAG_LIST_MAX);
	CHECK(parse("{\"tags\":[\"a\"]}", &tags) < 0);
}

TEST_MAIN()
