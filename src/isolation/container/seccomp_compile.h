/* SPDX-License-Identifier: Apache-2.0 */
/* From rules for calls to a classic BPF program. Knows numbers only; names and
 * documents are seccomp_profile.h's. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define SECCOMP_CONDITIONS_MAX 12
#define SECCOMP_ARCHES_MAX 4

enum seccomp_op {
	SECCOMP_OP_NE,
	SECCOMP_OP_LT,
	SECCOMP_OP_LE,
	SECCOMP_OP_EQ,
	SECCOMP_OP_GE,
	SECCOMP_OP_GT,
	SECCOMP_OP_MASKED_EQ /* (argument & value) == value_two */
};

/* On the unsigned 64-bit argument @index. */
struct seccomp_condition {
	uint8_t index;
	enum seccomp_op op;
	uint64_t value, value_two;
};

struct seccomp_rule {
	uint32_t action; /* SECCOMP_RET_x with data */
	uint8_t conditions_n; /* all must hold */
	struct seccomp_condition conditions[SECCOMP_CONDITIONS_MAX];
};

struct seccomp_entry {
	uint32_t number;
	uint32_t order; /* rules of one number keep theirs */
	struct seccomp_rule rule;
};

struct seccomp_arch {
	uint32_t token; /* AUDIT_ARCH_x */
	struct seccomp_entry *entries;
	size_t n, cap;
};

struct seccomp_policy {
	uint32_t default_action;
	struct seccomp_arch arches[SECCOMP_ARCHES_MAX];
	size_t arches_n;
};

int seccomp_policy_add_arch(struct seccomp_policy *p, uint32_t token) MUST_CHECK;
/* The first rule of a call whose conditions hold decides. -E2BIG. */
int seccomp_policy_add(struct seccomp_policy *p, size_t arch, uint32_t number, const struct seccomp_rule *rule) MUST_CHECK;
/* A call from an architecture that is not in the policy kills the process. */
int seccomp_policy_compile(struct seccomp_policy *p, struct sock_filter **ret, size_t *ret_n) MUST_CHECK;
void seccomp_policy_done(struct seccomp_policy *p);
