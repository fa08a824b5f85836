/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded proofs: a PROOF is run for every combination of what it picks, so what it
 * demands holds for all of them, not for samples.
 *
 *   PROOF(half) { uint64_t x = pick_u64(); assume(x % 2 == 0); demand(x / 2 * 2 == x); }
 *
 * Numbers are picked from those at which arithmetic goes wrong: around zero, pages, and
 * powers of two (pick_u64, pick_u32, pick_u16), or from all below a small limit (pick).
 * The model checker cbmc, which Debian 12 does not have, would take the same functions
 * with every number there is (__CPROVER__ below; each is a function proof_NAME). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CPROVER__
uint64_t nondet_u64(void);
static inline uint64_t pick(uint64_t n)
{
	uint64_t v = nondet_u64();
	__CPROVER_assume(v < n);
	return v;
}
#define pick_u64() nondet_u64()
#define pick_u32() ((uint32_t)nondet_u64())
#define pick_u16() ((uint16_t)nondet_u64())
#define assume(x)  __CPROVER_assume(x)
#define demand(x)  __CPROVER_assert(x, #x)
#define PROOF(name)                \
	void proof_##name(void);   \
	void proof_##name(void)
#else

uint64_t pick(uint64_t n);
uint64_t pick_u64(void);
uint32_t pick_u32(void);
uint16_t pick_u16(void);
/* Leave out combinations for which this does not hold. */
void assume(bool holds);
void demand_at(bool holds, const char *file, int line, const char *what);
#define demand(x) demand_at((x), __FILE__, __LINE__, #x)

struct proof {
	const char *name;
	void (*run)(void);
	struct proof *next;
};
void proof_register(struct proof *proof);

#define PROOF(name)                                                                \
	static void proof_##name(void);                                            \
	static struct proof struct_##name = { #name, proof_##name, NULL };         \
	__attribute__((constructor)) static void register_##name(void)             \
	{                                                                          \
		proof_register(&struct_##name);                                    \
	}                                                                          \
	static void proof_##name(void)
#endif
