/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: for each architecture the numbers are cut into ranges that
 * have one unconditional action, and single numbers that have conditions. A
 * binary search tree over the ranges leads to a leaf: a return, or the
 * conditions of one call one after the other. A conditional jump reaches over 255
 * instructions: a tree that is small enough is
 *     jge START, RIGHT, LEFT ; <left> ; RIGHT: <right> ; ... ; <returns>
 * where all leaves of one action share one return. A larger one begins with
 *     jge START, 0, 1 ; ja RIGHT ; <left> ; RIGHT: <right>
 * so only the unconditional jump, which reaches far, crosses a subtree. Each start
 * of a container pays for every instruction: the kernel translates them. */
#include "seccomp_compile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define ENTRIES_MAX 16384

int seccomp_policy_add_arch(struct seccomp_policy *p, uint32_t token)
{
	for (size_t i = 0; i < p->arches_n; i++)
		if (p->arches[i].token == token)
			return 0;
	if (p->arches_n == SECCOMP_ARCHES_MAX)
		return -E2BIG;
	p->arches[p->arches_n++].token = token;
	return 0;
}

int seccomp_policy_add(struct seccomp_policy *p, size_t arch, uint32_t number, const struct seccomp_rule *rule)
{
	struct seccomp_arch *a = &p->arches[arch];

	if (a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 512;
		if (cap > ENTRIES_MAX)
			return -E2BIG;
		struct seccomp_entry *entries = reallocarray(a->entries, cap, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		a->entries = entries;
		a->cap = cap;
	}
	a->entries[a->n] = (struct seccomp_entry){ .number = number, .order = (uint32_t)a->n, .rule = *rule };
	a->n++;
	return 0;
}

void seccomp_policy_done(struct seccomp_policy *p)
{
	for (size_t i = 0; i < p->arches_n; i++)
		free(p->arches[i].entries);
	*p = (struct seccomp_policy){ 0 };
}

static int compare(const void *x, const void *y)
{
	const struct seccomp_entry *a = x, *b = y;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* A range of numbers: from start to the next range's. */
struct range {
	uint32_t start;
	uint32_t action;		     /* without rules */
	const struct seccomp_entry *rules;   /* NULL: unconditional */
	size_t rules_n;
};

struct program {
	struct sock_filter *v;
	size_t n;
	bool is_full;
};

static void emit(struct program *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (p->n >= BPF_MAXINSNS) {
		p->is_full = true;
		return;
	}
	p->v[p->n++] = (struct sock_filter){ .code = code, .jt = jt, .jf = jf, .k = k };
}

#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define JEQ (BPF_JMP | BPF_JEQ | BPF_K)
#define JGT (BPF_JMP | BPF_JGT | BPF_K)
#define JGE (BPF_JMP | BPF_JGE | BPF_K)
#define AND (BPF_ALU | BPF_AND | BPF_K)
#define RET (BPF_RET | BPF_K)
/* Placeholder target of a condition that fails; patched to the rule's end.
 * Real offsets inside a condition are below it. */
#define FAIL 255

/* The architectures here are little-endian. */
static void emit_condition(struct program *p, const struct seccomp_condition *c)
{
	uint32_t low_at = (uint32_t)offsetof(struct seccomp_data, args) + 8u * c->index, high_at = low_at + 4;
	uint32_t low = (uint32_t)c->value, high = (uint32_t)(c->value >> 32);

	emit(p, LOAD, 0, 0, high_at);
	switch (c->op) {
	case SECCOMP_OP_EQ:
		emit(p, JEQ, 0, FAIL, high);
		emit(p, LOAD, 0, 0, low_at);
		emit(p, JEQ, 0, FAIL, low);
		break;
	case SECCOMP_OP_NE:
		emit(p, JEQ, 0, 2, high);
		emit(p, LOAD, 0, 0, low_at);
		emit(p, JEQ, FAIL, 0, low);
		break;
	case SECCOMP_OP_GT:
	case SECCOMP_OP_GE:
		emit(p, JGT, 3, 0, high);
		emit(p, JEQ, 0, FAIL, high);
		emit(p, LOAD, 0, 0, low_at);
		emit(p, c->op == SECCOMP_OP_GT ? JGT : JGE, 0, FAIL, low);
		break;
	case SECCOMP_OP_LT:
	case SECCOMP_OP_LE:
		emit(p, JGT, FAIL, 0, high);
		emit(p, JEQ, 0, 2, high);
		emit(p, LOAD, 0, 0, low_at);
		emit(p, c->op == SECCOMP_OP_LT ? JGE : JGT, FAIL, 0, low);
		break;
	case SECCOMP_OP_MASKED_EQ:
		emit(p, AND, 0, 0, high);
		emit(p, JEQ, 0, FAIL, (uint32_t)(c->value_two >> 32));
		emit(p, LOAD, 0, 0, low_at);
		emit(p, AND, 0, 0, low);
		emit(p, JEQ, 0, FAIL, (uint32_t)c->value_two);
		break;
	}
}

/* The rules of one call in order; past the last, the default. */
static void emit_rules(struct program *p, const struct range *r, uint32_t default_action)
{
	for (size_t i = 0; i < r->rules_n; i++) {
		const struct seccomp_rule *rule = &r->rules[i].rule;
		size_t start = p->n;

		for (size_t c = 0; c < rule->conditions_n; c++)
			emit_condition(p, &rule->conditions[c]);
		emit(p, RET, 0, 0, rule->action);
		if (p->is_full)
			return;
		/* At most 12 conditions of 6: the end is within a byte's reach. */
		for (size_t k = start; k < p->n; k++) {
			if (BPF_CLASS(p->v[k].code) != BPF_JMP)
				continue;
			if (p->v[k].jt == FAIL)
				p->v[k].jt = (uint8_t)(p->n - k - 1);
			if (p->v[k].jf == FAIL)
				p->v[k].jf = (uint8_t)(p->n - k - 1);
		}
		if (!rule->conditions_n)
			return;
	}
	emit(p, RET, 0, 0, default_action);
}

#define JUMP_MAX 255
#define SET SIZE_MAX

/* The returns that the jumps of a small tree still have to reach. */
struct exits {
	struct {
		size_t at; /* SET: it does */
		bool is_true;
		uint32_t action;
	} *v;
	size_t n;
};

static void set_jump(struct program *p, size_t at, bool is_true, size_t target, bool *fits)
{
	size_t offset = target - at - 1;
	*fits = *fits && !p->is_full && offset <= JUMP_MAX;
	if (*fits && is_true)
		p->v[at].jt = (uint8_t)offset;
	else if (*fits)
		p->v[at].jf = (uint8_t)offset;
}

static bool is_return(const struct range *r, size_t n)
{
	return n == 1 && !r->rules;
}

static void emit_small(struct program *p, const struct range *r, size_t n, uint32_t default_action, struct exits *exits, bool *fits)
{
	if (n == 1) {
		emit_rules(p, r, default_action);
		return;
	}
	size_t half = n / 2, at = p->n;
	emit(p, JGE, 0, 0, r[half].start);
	for (int side = 0; side < 2 && *fits && !p->is_full; side++) {
		const struct range *part = side ? r + half : r;
		size_t part_n = side ? n - half : half;
		if (is_return(part, part_n)) {
			exits->v[exits->n].at = at;
			exits->v[exits->n].is_true = side;
			exits->v[exits->n++].action = part->action;
			continue;
		}
		set_jump(p, at, side, p->n, fits);
		emit_small(p, part, part_n, default_action, exits, fits);
	}
}

/* False, and nothing is emitted, if it is too large. */
static bool emit_small_tree(struct program *p, const struct range *r, size_t n, uint32_t default_action, struct exits *exits)
{
	size_t start = p->n;
	bool fits = true;
	exits->n = 0;
	emit_small(p, r, n, default_action, exits, &fits);
	for (size_t i = 0; i < exits->n && fits; i++) {
		if (exits->v[i].at == SET)
			continue;
		uint32_t action = exits->v[i].action;
		for (size_t k = i; k < exits->n; k++) {
			if (exits->v[k].at == SET || exits->v[k].action != action)
				continue;
			set_jump(p, exits->v[k].at, exits->v[k].is_true, p->n, &fits);
			exits->v[k].at = SET;
		}
		emit(p, RET, 0, 0, action);
	}
	if (!fits)
		p->n = start;
	return fits;
}

static void emit_tree(struct program *p, const struct range *r, size_t n, uint32_t default_action, struct exits *exits)
{
	if (is_return(r, n)) {
		emit(p, RET, 0, 0, r->action);
		return;
	}
	if (emit_small_tree(p, r, n, default_action, exits) || p->is_full)
		return;
	size_t half = n / 2;
	emit(p, JGE, 0, 1, r[half].start);
	size_t jump = p->n;
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_tree(p, r, half, default_action, exits);
	if (!p->is_full)
		p->v[jump].k = (uint32_t)(p->n - jump - 1);
	emit_tree(p, r + half, n - half, default_action, exits);
}

/* Append a range unless it only continues the last. */
static void add_range(struct range *v, size_t *n, const struct range *r)
{
	struct range *last = *n ? &v[*n - 1] : NULL;

	if (last && !last->rules && !r->rules && last->action == r->action)
		return;
	if (last && last->start == r->start)
		last[0] = *r;
	else
		v[(*n)++] = *r;
}

static int emit_arch(struct program *p, struct seccomp_arch *a, uint32_t default_action)
{
	CLEANUP_FREE struct range *ranges = calloc(2 * a->n + 2, sizeof(*ranges));
	struct range rest = { .start = 0, .action = default_action };
	struct exits exits = { 0 };
	size_t n = 0;

	if (!ranges)
		return -ENOMEM;
	if (a->n)
		qsort(a->entries, a->n, sizeof(*a->entries), compare);
	ranges[n++] = rest;
	for (size_t i = 0; i < a->n;) {
		const struct seccomp_entry *e = &a->entries[i];
		struct range r = { .start = e->number, .action = e->rule.action };
		size_t k = i;

		while (k < a->n && a->entries[k].number == e->number)
			k++;
		if (e->rule.conditions_n) {
			r.rules = e;
			r.rules_n = k - i;
		}
		/* What follows a range is the default until the next begins. */
		if (ranges[n - 1].start == r.start && n > 1) {
			n--;
			add_range(ranges, &n, &r);
		} else if (r.start == 0) {
			ranges[0] = r;
		} else {
			add_range(ranges, &n, &r);
		}
		if (e->number != UINT32_MAX) {
			rest.start = e->number + 1;
			add_range(ranges, &n, &rest);
		}
		i = k;
	}
	emit(p, LOAD, 0, 0, (uint32_t)offsetof(struct seccomp_data, arch));
	emit(p, JEQ, 1, 0, a->token);
	size_t jump = p->n;
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	emit(p, LOAD, 0, 0, (uint32_t)offsetof(struct seccomp_data, nr));
	CLEANUP_FREE void *places = exits.v = calloc(n, sizeof(*exits.v));
	if (!places)
		return -ENOMEM;
	emit_tree(p, ranges, n, default_action, &exits);
	if (!p->is_full)
		p->v[jump].k = (uint32_t)(p->n - jump - 1);
	return 0;
}

int seccomp_policy_compile(struct seccomp_policy *policy, struct sock_filter **ret, size_t *ret_n)
{
	CLEANUP_FREE struct sock_filter *v = calloc(BPF_MAXINSNS, sizeof(*v));
	struct program p = { .v = v };

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < policy->arches_n; i++) {
		int r = emit_arch(&p, &policy->arches[i], policy->default_action);
		if (r < 0)
			return r;
	}
	emit(&p, RET, 0, 0, SECCOMP_RET_KILL_PROCESS);
	if (p.is_full)
		return -E2BIG;
	*ret = TAKE_PTR(v);
	*ret_n = p.n;
	return 0;
}
