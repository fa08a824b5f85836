/* SPDX-License-Identifier: Apache-2.0 */
/* Runs each proof for all that it may pick, depth first: the picks of one run are the
 * digits of a number, and the next run is the next number. Prints TAP. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proof.h"

#define DIGITS_MAX 64
#define ARRAY_N(a) (sizeof(a) / sizeof((a)[0]))

static struct proof *first, **last = &first;
static struct {
	uint64_t value, n;
} digits[DIGITS_MAX];
static unsigned used, known;
static jmp_buf next_run;
static unsigned long long runs, left_out;

void proof_register(struct proof *proof)
{
	*last = proof;
	last = &proof->next;
}

uint64_t pick(uint64_t n)
{
	if (used == DIGITS_MAX || n == 0)
		abort();
	if (used == known) {
		digits[known].value = 0;
		digits[known++].n = n;
	}
	return digits[used++].value;
}

static const uint64_t numbers[] = {
	0,
	1,
	2,
	3,
	16,
	511,
	512,
	4095,
	4096,
	4097,
	8192,
	0x7fff,
	0x8000,
	0xffff,
	0x10000,
	0x7fffffff,
	0x80000000,
	0xfffff000,
	0xffffffff,
	0x100000000,
	UINT64_C(0x7fffffffffffffff),
	UINT64_C(0x8000000000000000),
	UINT64_C(0xfffffffffffff000),
	UINT64_C(0xfffffffffffffffe),
	UINT64_C(0xffffffffffffffff),
};

uint64_t pick_u64(void)
{
	return numbers[pick(ARRAY_N(numbers))];
}

uint32_t pick_u32(void)
{
	return (uint32_t)numbers[pick(19)];
}

uint16_t pick_u16(void)
{
	return (uint16_t)numbers[pick(14)];
}

void assume(bool holds)
{
	if (!holds) {
		left_out++;
		longjmp(next_run, 1);
	}
}

void demand_at(bool holds, const char *file, int line, const char *what)
{
	if (holds)
		return;
	printf("# %s:%d: %s; picked:", file, line, what);
	for (unsigned i = 0; i < used; i++)
		printf(" %llu/%llu", (unsigned long long)digits[i].value, (unsigned long long)digits[i].n);
	printf("\n");
	longjmp(next_run, 2);
}

/* The next number; false: that was the last. */
static bool advance(void)
{
	known = used;
	while (known > 0 && digits[known - 1].value + 1 == digits[known - 1].n)
		known--;
	if (known == 0)
		return false;
	digits[known - 1].value++;
	return true;
}

static bool prove(const struct proof *proof)
{
	known = 0;
	runs = left_out = 0;
	do {
		used = 0;
		runs++;
		int how = setjmp(next_run);
		if (how == 2)
			return false;
		if (how == 0)
			proof->run();
	} while (advance());
	/* One that leaves out everything proves nothing. */
	return runs > left_out;
}

int main(int argc, char **argv)
{
	int n = 0, failed = 0;
	for (const struct proof *p = first; p; p = p->next) {
		if (argc > 1 && !strstr(p->name, argv[1]))
			continue;
		bool holds = prove(p);
		failed += !holds;
		printf("%s %d - %s (%llu cases)\n", holds ? "ok" : "not ok", ++n, p->name, runs - left_out);
		fflush(stdout);
	}
	printf("1..%d\n", n);
	return failed != 0;
}
