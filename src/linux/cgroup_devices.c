/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the kernel asks about one device and a set of accesses. "Last
 * match decides" is per access bit: of "allow c 1:3 rwm, deny c 1:3 m" a request
 * for rw passes and one for rm does not. Walked from the last rule to the first
 * with the set of still undecided bits: a matching deny that touches one of
 * them refuses at once; a matching allow settles its bits; once none is
 * undecided the request passes. The program is that loop unrolled, without a
 * backward jump, which every kernel since 4.15 verifies. */
#include "cgroup_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"

#define RULES_MAX 1024
/* Instructions of the longest rule. */
#define RULE_INSNS 7

static unsigned access_bits(const char *access)
{
	return (strchr(access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0u) | (strchr(access, 'r') ? BPF_DEVCG_ACC_READ : 0u) |
	       (strchr(access, 'w') ? BPF_DEVCG_ACC_WRITE : 0u);
}

static bool is_everything(const struct cgroup_device_rule *r)
{
	return r->type == 'a' || (r->type != 'b' && r->type != 'c');
}

bool cgroup_devices_is_allowed(const struct cgroup_device_rule *rules, size_t n, char type, uint32_t major,
			       uint32_t minor, unsigned access)
{
	for (size_t i = n; i-- > 0 && access;) {
		const struct cgroup_device_rule *r = &rules[i];
		unsigned bits = access_bits(r->access);

		if (!is_everything(r) && r->type != type)
			continue;
		if (r->major >= 0 && (uint64_t)r->major != major)
			continue;
		if (r->minor >= 0 && (uint64_t)r->minor != minor)
			continue;
		if (!(bits & access))
			continue;
		if (!r->allow)
			return false;
		access &= ~bits;
	}
	return access == 0;
}

bool cgroup_devices_is_open(const struct cgroup_device_rule *rules, size_t n)
{
	for (size_t i = n; i-- > 0;) {
		if (!rules[i].allow)
			return false;
		if (is_everything(&rules[i]) && rules[i].major < 0 && rules[i].minor < 0 &&
		    access_bits(rules[i].access) == 7)
			return true;
	}
	return false;
}

/* ---- the program ---- */

static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	return (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

/* r2 = type, r3 = undecided accesses, r4 = major, r5 = minor; r6 scratch. */
enum { TYPE = BPF_REG_2, ACCESS = BPF_REG_3, MAJOR = BPF_REG_4, MINOR = BPF_REG_5, SCRATCH = BPF_REG_6 };

static size_t emit_rule(struct bpf_insn *out, const struct cgroup_device_rule *r)
{
	unsigned bits = access_bits(r->access);
	size_t n = 0;

	if (!bits)
		return 0;
	/* Jump offsets to the end of the rule are filled in below. */
	if (!is_everything(r))
		out[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, TYPE, 0, 0,
				r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (r->major >= 0)
		out[n++] = insn(BPF_JMP32 | BPF_JNE | BPF_K, MAJOR, 0, 0, (int32_t)r->major);
	if (r->minor >= 0)
		out[n++] = insn(BPF_JMP32 | BPF_JNE | BPF_K, MINOR, 0, 0, (int32_t)r->minor);
	size_t checks = n;
	if (r->allow) {
		out[n++] = insn(BPF_ALU | BPF_AND | BPF_K, ACCESS, 0, 0, (int32_t)(~bits & 7));
		out[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, ACCESS, 0, 2, 0);
		out[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1);
		out[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	} else {
		out[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, SCRATCH, ACCESS, 0, 0);
		out[n++] = insn(BPF_ALU | BPF_AND | BPF_K, SCRATCH, 0, 0, (int32_t)bits);
		out[n++] = insn(BPF_JMP | BPF_JEQ | BPF_K, SCRATCH, 0, 2, 0);
		out[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
		out[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	for (size_t i = 0; i < checks; i++)
		out[i].off = (int16_t)(n - i - 1);
	return n;
}

int cgroup_devices_compile(const struct cgroup_device_rule *rules, size_t n, struct bpf_insn **ret, size_t *ret_n)
{
	if (n > RULES_MAX)
		return -E2BIG;
	struct bpf_insn *p = calloc(8 + n * (RULE_INSNS + 1), sizeof(*p));
	size_t at = 0;

	if (!p)
		return -ENOMEM;
	/* struct bpf_cgroup_dev_ctx: access_type is (access << 16) | type. */
	p[at++] = insn(BPF_LDX | BPF_MEM | BPF_W, TYPE, BPF_REG_1, 0, 0);
	p[at++] = insn(BPF_ALU | BPF_MOV | BPF_X, ACCESS, TYPE, 0, 0);
	p[at++] = insn(BPF_ALU | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
	p[at++] = insn(BPF_ALU | BPF_RSH | BPF_K, ACCESS, 0, 0, 16);
	p[at++] = insn(BPF_LDX | BPF_MEM | BPF_W, MAJOR, BPF_REG_1, 4, 0);
	p[at++] = insn(BPF_LDX | BPF_MEM | BPF_W, MINOR, BPF_REG_1, 8, 0);
	for (size_t i = n; i-- > 0;) {
		/* A number no device can have never matches. */
		if (rules[i].major > UINT32_MAX || rules[i].minor > UINT32_MAX)
			continue;
		at += emit_rule(p + at, &rules[i]);
	}
	p[at++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	p[at++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	*ret = p;
	*ret_n = at;
	return 0;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
	return r < 0 ? -errno : r;
}

static int apply_v2(int dir, const struct cgroup_device_rule *rules, size_t n, struct err *err)
{
	CLEANUP_FREE struct bpf_insn *insns = NULL;
	size_t count = 0;
	union bpf_attr load = { 0 }, attach = { 0 };
	static const char license[] = "Apache-2.0";
	int r = cgroup_devices_compile(rules, n, &insns, &count);

	if (r < 0)
		return err_set(err, ERR_INVALID, r, "device rules");
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.insns = (uint64_t)(uintptr_t)insns;
	load.insn_cnt = (uint32_t)count;
	load.license = (uint64_t)(uintptr_t)license;
	CLEANUP_FD int prog = bpf(BPF_PROG_LOAD, &load);
	if (prog < 0) {
		r = err_set(err, prog == -ENOSYS || prog == -EINVAL ? ERR_UNSUPPORTED : ERR_SYSTEM, prog,
			    "load the device filter");
		err_why(err, "with cgroup v2 the kernel filters devices by BPF (CONFIG_CGROUP_BPF)");
		prog = -1;
		return r;
	}
	attach.target_fd = (uint32_t)dir;
	attach.attach_bpf_fd = (uint32_t)prog;
	attach.attach_type = BPF_CGROUP_DEVICE;
	/* Programs of groups above and below all have to agree. */
	attach.attach_flags = BPF_F_ALLOW_MULTI;
	r = bpf(BPF_PROG_ATTACH, &attach);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "attach the device filter") : 0;
}

/* ---- v1 ---- */

/* Two rules that concern a common device and access. */
static bool overlap(const struct cgroup_device_rule *a, const struct cgroup_device_rule *b)
{
	if (!(access_bits(a->access) & access_bits(b->access)))
		return false;
	if (!is_everything(a) && !is_everything(b) && a->type != b->type)
		return false;
	if (a->major >= 0 && b->major >= 0 && a->major != b->major)
		return false;
	return a->minor < 0 || b->minor < 0 || a->minor == b->minor;
}

static bool same_device(const struct cgroup_device_rule *a, const struct cgroup_device_rule *b)
{
	return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

/* The two files, opened once; a write is a rule. */
struct v1_list {
	int dir, fd[2];
};

static void v1_list_done(struct v1_list *l)
{
	cleanup_fd(&l->fd[0]);
	cleanup_fd(&l->fd[1]);
}

static int v1_list_write(struct v1_list *l, bool allow, const char *text, struct err *err)
{
	static const char *const files[] = { "devices.deny", "devices.allow" };

	if (l->fd[allow] < 0)
		l->fd[allow] = openat(l->dir, files[allow], O_WRONLY | O_CLOEXEC | O_NOCTTY);
	int r = l->fd[allow] < 0 ? -errno : fd_write_all(l->fd[allow], text, strlen(text));
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write \"%s\" to %s", text, files[allow]) : 0;
}

static int write_v1(struct v1_list *l, const struct cgroup_device_rule *r, struct err *err)
{
	char major[24] = "*", minor[24] = "*", text[72];

	if (r->major >= 0)
		snprintf(major, sizeof(major), "%lld", (long long)r->major);
	if (r->minor >= 0)
		snprintf(minor, sizeof(minor), "%lld", (long long)r->minor);
	snprintf(text, sizeof(text), "%c %s:%s %s", r->type, major, minor, r->access);
	return v1_list_write(l, r->allow, text, err);
}

/* The v1 list is a default plus exceptions of the other sign; an exception is
 * removed only by naming the same device. So all goes through unless a rule
 * cuts a piece out of a wider one of the other sign. */
static int apply_v1(int dir, const struct cgroup_device_rule *rules, size_t n, struct err *err)
{
	size_t first = 0;

	for (size_t i = 0; i < n; i++)
		if (is_everything(&rules[i]) && access_bits(rules[i].access) == 7 && rules[i].major < 0 &&
		    rules[i].minor < 0)
			first = i;
	bool base_allows = first < n && is_everything(&rules[first]) && rules[first].allow;
	for (size_t i = first; i < n; i++)
		for (size_t k = first; k < i; k++)
			if (rules[k].allow != rules[i].allow && rules[k].allow != base_allows &&
			    overlap(&rules[k], &rules[i]) && !same_device(&rules[k], &rules[i])) {
				int r = err_set(err, ERR_UNSUPPORTED, 0,
						"cgroup v1 cannot express a device rule that makes an exception from "
						"an exception (%c %lld:%lld)",
						rules[i].type, (long long)rules[i].major, (long long)rules[i].minor);
				err_hint(err, "name the devices one by one, without a wildcard");
				return r;
			}
	CLEANUP(v1_list_done) struct v1_list list = { dir, { -1, -1 } };
	int r = v1_list_write(&list, base_allows, "a", err);
	for (size_t i = first; r == 0 && i < n; i++) {
		if (is_everything(&rules[i]) && i == first)
			continue;
		if (!is_everything(&rules[i])) {
			r = write_v1(&list, &rules[i], err);
			continue;
		}
		/* 'a' with a number or with fewer accesses: v1 knows only all. */
		struct cgroup_device_rule one = rules[i];
		one.type = 'c';
		r = write_v1(&list, &one, err);
		one.type = 'b';
		if (r == 0)
			r = write_v1(&list, &one, err);
	}
	return r;
}

int cgroup_devices_apply(struct cgroup *cg, const struct cgroup_device_rule *rules, size_t n, struct err *err)
{
	if (cgroup_devices_is_open(rules, n))
		return 0;
	int r = cgroup_ensure(cg, CGROUP_DEVICES);
	if (r == -ENODEV) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "this host cannot limit devices: no devices cgroup controller");
		err_hint(err, "cat /proc/cgroups");
		return r;
	}
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "enter the devices cgroup");
	int dir = cgroup_dir(cg, CGROUP_DEVICES);
	return cgroup_is_v2(cg->layout, CGROUP_DEVICES) ? apply_v2(dir, rules, n, err) : apply_v1(dir, rules, n, err);
}
