/* SPDX-License-Identifier: Apache-2.0 */
#include "detach_keys.h"

#include "test.h"

TEST(keys_parse)
{
	unsigned char keys[DETACH_KEYS_MAX];
	size_t n = 9;
	struct err err = ERR_INIT;
	CHECK_EQ(detach_keys_parse("ctrl-p,ctrl-q", keys, &n, &err), 0);
	CHECK(n == 2 && keys[0] == 16 && keys[1] == 17);
	CHECK_EQ(detach_keys_parse("ctrl-@,ctrl-[,ctrl-_,a", keys, &n, &err), 0);
	CHECK(n == 4 && keys[0] == 0 && keys[1] == 27 && keys[2] == 31 && keys[3] == 'a');
	CHECK_EQ(detach_keys_parse("", keys, &n, &err), 0);
	CHECK_EQ(n, 0);
	CHECK(detach_keys_parse("ctrl-1", keys, &n, &err) < 0);
	CHECK(detach_keys_parse("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", keys, &n, &err) < 0);
}

TEST(a_broken_sequence_is_passed_on)
{
	struct detach_matcher m = { .keys = { 16, 17 }, .n = 2 };
	char out[64];
	bool detach;
	CHECK_EQ(detach_keys_feed(&m, "a\x10", 2, out, sizeof(out), &detach), 1);
	CHECK(!detach && out[0] == 'a');
	CHECK_EQ(detach_keys_feed(&m, "b\x10\x10", 3, out, sizeof(out), &detach), 3);
	CHECK(!detach && out[0] == 16 && out[1] == 'b' && out[2] == 16);
	CHECK_EQ(detach_keys_feed(&m, "\x11", 1, out, sizeof(out), &detach), 0);
	CHECK(detach);
}

TEST_MAIN()
