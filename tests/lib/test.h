/* SPDX-License-Identifier: Apache-2.0 */
/* The test runner: each TEST runs in a process of its own, with a time limit,
 * and fails if it leaves a descriptor or a child behind. Output is TAP, so that
 * meson counts single tests.
 *
 *   TEST(parse_rejects_sign) { CHECK_EQ(str_parse_u64("+1", &v), -EINVAL); }
 *   TEST_MAIN()
 *
 * A test that cannot run here says TEST_SKIP("reason"); with
 * HULL_TESTS_MUST_RUN=1 a skip is a failure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct test_case {
	const char *name;
	void (*run)(void);
	struct test_case *next;
};
void test_register(struct test_case *test);
int test_main(int argc, char **argv);
void test_fail(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));
void test_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A fresh directory, removed after the test. */
const char *test_tmpdir(void);

#define TEST(name)                                                                      \
	static void test_##name(void);                                                  \
	static struct test_case test_case_##name = { #name, test_##name, NULL };        \
	__attribute__((constructor)) static void test_register_##name(void)             \
	{                                                                               \
		test_register(&test_case_##name);                                       \
	}                                                                               \
	static void test_##name(void)
#define TEST_MAIN()                                \
	int main(int argc, char **argv)            \
	{                                          \
		return test_main(argc, argv);      \
	}
#define TEST_SKIP(...) test_skip(__VA_ARGS__)
#define CHECK(cond)                                                                  \
	do {                                                                         \
		if (!(cond))                                                         \
			test_fail(__FILE__, __LINE__, "not true: %s", #cond);        \
	} while (0)
#define CHECK_EQ(a, b)                                                                                   \
	do {                                                                                             \
		long long a_ = (long long)(a), b_ = (long long)(b);                                      \
		if (a_ != b_)                                                                            \
			test_fail(__FILE__, __LINE__, "%s is %lld, not %s = %lld", #a, a_, #b, b_);      \
	} while (0)
#define CHECK_STR(a, b)                                                                                \
	do {                                                                                           \
		const char *a_ = (a), *b_ = (b);                                                       \
		if (!a_ || !b_ || strcmp(a_, b_) != 0)                                                 \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #a, a_ ? a_ : "(null)", \
				  b_ ? b_ : "(null)");                                                 \
	} while (0)
