/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include "str.h"
#include "test.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check_full(const char *in, const char *want)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	struct err err = ERR_INIT;
	if (reference_parse(in, true, &ref, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", in, err.msg);
	CLEANUP_FREE char *full = reference_full(&ref);
	CHECK_STR(full, want);
}

TEST(names_are_completed_as_docker_does)
{
	check_full("debian", "docker.io/library/debian:latest");
	check_full("debian:12", "docker.io/library/debian:12");
	check_full("a/b", "docker.io/a/b:latest");
	check_full("docker.io/debian", "docker.io/library/debian:latest");
	check_full("index.docker.io/a/b:x", "docker.io/a/b:x");
	check_full("localhost/a", "localhost/a:latest");
	check_full("localhost:5000/a/b:1", "localhost:5000/a/b:1");
	check_full("[::1]:5000/a", "[::1]:5000/a:latest");
	check_full("a.b/c__d/e--f.g:T_1", "a.b/c__d/e--f.g:T_1");
	check_full("a@sha256:" HEX, "docker.io/library/a@sha256:" HEX);
	check_full("a:1@sha256:" HEX, "docker.io/library/a:1");
}

TEST(bad_names_are_refused)
{
	const char *const bad[] = { "", ":", "A", "a:", "a:-x", "a//b", "/a", "a/", "a..b", "a___b", "-a", "a@sha256:12",
				    "a b", HEX, "x.y:99999/a", "a@" HEX, "../a", NULL };
	for (size_t i = 0; bad[i]; i++) {
		struct reference ref = { 0 };
		struct err err = ERR_INIT;
		if (reference_parse(bad[i], true, &ref, &err) == 0)
			test_fail(__FILE__, __LINE__, "accepted \"%s\"", bad[i]);
		CHECK_EQ(err.kind, ERR_INVALID);
	}
}

TEST(familiar_names)
{
	CHECK_STR(reference_familiar("docker.io/library/debian:12"), "debian:12");
	CHECK_STR(reference_familiar("docker.io/a/b:12"), "a/b:12");
	CHECK_STR(reference_familiar("docker.io/library/a/b:12"), "library/a/b:12");
	CHECK_STR(reference_familiar("h:5/a:1"), "h:5/a:1");
	CHECK_STR(reference_suffix("h:5/a:1"), ":1");
	CHECK_STR(reference_suffix("h:5/a@sha256:00"), "@sha256:00");
	CHECK_STR(reference_suffix("h:5/a"), "");
}

TEST_MAIN()
