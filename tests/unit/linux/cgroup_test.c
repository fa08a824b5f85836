/* SPDX-License-Identifier: Apache-2.0 */
/* Runs on whatever layout the host has, and once more in the cgroup v2 lab. */
#include "cgroup.h"
#include "cgroup_devices.h"
#include "cgroup_limits.h"
#include "cgroup_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "str.h"
#include "test.h"

static struct cgroup_layout layout;
static char path[64];

static void start(struct cgroup *cg, uint32_t controllers)
{
	struct err err = ERR_INIT;

	if (getuid() != 0)
		TEST_SKIP("needs root");
	if (cgroup_detect(&layout) < 0)
		TEST_SKIP("no cgroups here");
	snprintf(path, sizeof(path), "hull/test-%d", (int)getpid());
	int r = cgroup_create(&layout, path, controllers, cg, &err);
	if (r == -EROFS || r == -EACCES || r == -EPERM)
		TEST_SKIP("cgroups are read-only here");
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static void finish(struct cgroup *cg)
{
	cgroup_close(cg);
	CHECK_EQ(cgroup_destroy(&layout, path, clock_mono_ms() + 5000), 0);
	CHECK_EQ(cgroup_destroy(&layout, path, clock_mono_ms() + 5000), 0);
	CHECK_EQ(cgroup_open(&layout, path, cg), -ENOENT);
}

static void check_ok(int r, const struct err *err)
{
	if (r < 0)
		test_fail(__FILE__, __LINE__, "%s (%s)", err->msg, err->why);
}

/* A child in the group that runs @fn once told to; its pid. */
static pid_t spawn(struct cgroup *cg, void (*fn)(void))
{
	int go[2];

	CHECK_EQ(pipe2(go, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		close(go[1]);
		if (read(go[0], &c, 1) == 1)
			fn();
		_exit(0);
	}
	close(go[0]);
	CHECK_EQ(cgroup_attach(cg, pid, false), 0);
	CHECK_EQ(write(go[1], "x", 1), 1);
	close(go[1]);
	return pid;
}

static void sleep_forever(void)
{
	for (;;)
		pause();
}

static char *value_of(struct cgroup *cg, enum cgroup_controller c, const char *file)
{
	static char text[4096];
	CLEANUP_BUF struct buf b = BUF_INIT(4096);

	CHECK_EQ(fd_read_file_at(cgroup_dir(cg, c), file, &b), 0);
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(buf_str(&b), "\n"), buf_str(&b));
	return text;
}

TEST(create_attach_list_destroy)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;
	int status;

	start(&cg, 0);
	pid_t child = spawn(&cg, sleep_forever);
	CHECK_EQ(cgroup_pids(&cg, &pids, &n), 0);
	CHECK_EQ(n, 1);
	CHECK_EQ(pids[0], child);
	finish(&cg);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(child_is_born_in_the_group)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;

	start(&cg, 0);
	if (cgroup_clone_fd(&cg) < 0)
		TEST_SKIP("no cgroup2 hierarchy");
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)cgroup_clone_fd(&cg),
	};
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (child == 0)
		sleep_forever();
	CHECK(child > 0);
	CHECK_EQ(cgroup_pids(&cg, &pids, &n), 0);
	CHECK_EQ(n, 1);
	CHECK_EQ(cgroup_attach(&cg, child, true), 0);
	finish(&cg);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

static void fork_bomb(void)
{
	for (;;)
		if (fork() < 0)
			usleep(1000);
}

TEST(kill_beats_forks)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits limits = CGROUP_LIMITS_INIT;
	struct err err = ERR_INIT;

	start(&cg, 0);
	limits.pids = 50;
	if (!cgroup_has(&layout, CGROUP_PIDS))
		TEST_SKIP("no pids controller");
	check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	pid_t child = spawn(&cg, fork_bomb);
	int64_t end = clock_mono_ms() + 5000;
	struct cgroup_stats stats = { 0 };
	while (stats.pids < 50 && clock_mono_ms() < end) {
		CHECK_EQ(cgroup_stats_read(&cg, &stats), 0);
		sched_yield();
	}
	CHECK_EQ(stats.pids, 50);
	CHECK_EQ(stats.pids_limit, 50);
	CHECK_EQ(cgroup_kill(&cg, clock_mono_ms() + 10000), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	finish(&cg);
}

static volatile uint64_t *counter;

static void count(void)
{
	for (;;)
		(*counter)++;
}

TEST(freeze_stops_and_thaw_continues)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;

	start(&cg, 0);
	counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(counter != MAP_FAILED);
	pid_t child = spawn(&cg, count);
	while (*counter == 0)
		sched_yield();
	CHECK_EQ(cgroup_freeze(&cg, true, clock_mono_ms() + 5000), 0);
	CHECK_EQ(cgroup_freeze(&cg, true, clock_mono_ms() + 5000), 0);
	CHECK_EQ(cgroup_is_frozen(&cg), 1);
	uint64_t then = *counter;
	usleep(20000);
	CHECK_EQ(*counter, then);
	CHECK_EQ(cgroup_freeze(&cg, false, clock_mono_ms() + 5000), 0);
	CHECK_EQ(cgroup_is_frozen(&cg), 0);
	int64_t end = clock_mono_ms() + 5000;
	while (*counter == then && clock_mono_ms() < end)
		sched_yield();
	CHECK(*counter != then);
	struct cgroup_stats stats;
	CHECK_EQ(cgroup_stats_read(&cg, &stats), 0);
	CHECK(stats.cpu_usage_ns > 0);
	CHECK_EQ(stats.pids, 1);
	/* A frozen group can be destroyed. */
	CHECK_EQ(cgroup_freeze(&cg, true, clock_mono_ms() + 5000), 0);
	finish(&cg);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

static void eat(void)
{
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (p == MAP_FAILED)
			_exit(1);
	}
}

TEST(oom_kill_is_noticed)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits limits = CGROUP_LIMITS_INIT;
	struct err err = ERR_INIT;
	uint64_t kills = 7;
	int status;

	start(&cg, 0);
	if (!cgroup_has(&layout, CGROUP_MEMORY))
		TEST_SKIP("no memory controller");
	limits.memory_bytes = 16 << 20;
	limits.memory_swap_bytes = 16 << 20;
	if (cgroup_limits_apply(&cg, &limits, &err) < 0) {
		limits.memory_swap_bytes = 0;
		check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	}
	CLEANUP_FD int oom = cgroup_oom_open(&cg);
	CHECK(oom >= 0);
	CHECK_EQ(cgroup_oom_kills(&cg, &kills), 0);
	CHECK_EQ(kills, 0);
	pid_t child = spawn(&cg, eat);
	struct pollfd p = { .fd = oom, .events = POLLIN };
	CHECK_EQ(poll(&p, 1, 20000), 1);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cgroup_oom_drain(oom);
	CHECK_EQ(cgroup_oom_kills(&cg, &kills), 0);
	CHECK_EQ(kills, 1);
	struct cgroup_stats stats;
	CHECK_EQ(cgroup_stats_read(&cg, &stats), 0);
	CHECK_EQ(stats.oom_kills, 1);
	CHECK_EQ(stats.memory_limit_bytes, 16 << 20);
	cleanup_fd(&oom);
	finish(&cg);
}

TEST(memory_is_updated_up_and_down)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct err err = ERR_INIT;
	static const int64_t steps[][2] = { { 64, 128 }, { 256, 512 }, { 32, 64 }, { 32, -1 }, { 512, 1024 }, { 64, 64 } };

	start(&cg, 0);
	if (!cgroup_has(&layout, CGROUP_MEMORY))
		TEST_SKIP("no memory controller");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct cgroup_limits limits = CGROUP_LIMITS_INIT;
		struct cgroup_stats stats;

		limits.memory_bytes = steps[i][0] << 20;
		limits.memory_swap_bytes = steps[i][1] < 0 ? -1 : steps[i][1] << 20;
		if (steps[i][0] == steps[i][1] &&
		    faccessat(cgroup_dir(&cg, CGROUP_MEMORY),
			      cgroup_is_v2(&layout, CGROUP_MEMORY) ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
			      F_OK, 0) < 0)
			continue;
		check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
		CHECK_EQ(cgroup_stats_read(&cg, &stats), 0);
		CHECK_EQ(stats.memory_limit_bytes, limits.memory_bytes);
	}
	struct cgroup_limits limits = CGROUP_LIMITS_INIT;
	limits.memory_reservation_bytes = 16 << 20;
	check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	limits.memory_swappiness = 10;
	int r = cgroup_limits_apply(&cg, &limits, &err);
	if (cgroup_is_v2(&layout, CGROUP_MEMORY))
		CHECK_EQ(err.kind, ERR_UNSUPPORTED);
	else
		check_ok(r, &err);
	finish(&cg);
}

TEST(cpu_limits)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits limits = CGROUP_LIMITS_INIT;
	struct err err = ERR_INIT;

	start(&cg, 0);
	if (!cgroup_has(&layout, CGROUP_CPU))
		TEST_SKIP("no cpu controller");
	/* The group has a process already: the hierarchy is added around it. */
	pid_t child = spawn(&cg, sleep_forever);
	limits.cpu_shares = 512;
	limits.cpu_quota_us = 20000;
	limits.cpu_period_us = 50000;
	check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	if (cgroup_is_v2(&layout, CGROUP_CPU)) {
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.max"), "20000 50000");
	} else {
		char want[16];
		snprintf(want, sizeof(want), "%d", (int)child);
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cgroup.procs"), want);
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.cfs_quota_us"), "20000");
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.cfs_period_us"), "50000");
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.shares"), "512");
	}
	limits = CGROUP_LIMITS_INIT;
	limits.cpu_quota_us = -1;
	check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	if (cgroup_is_v2(&layout, CGROUP_CPU))
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.max"), "max 50000");
	else
		CHECK_STR(value_of(&cg, CGROUP_CPU, "cpu.cfs_quota_us"), "-1");
	finish(&cg);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

TEST(cpuset_and_blkio)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits limits = CGROUP_LIMITS_INIT;
	struct err err = ERR_INIT;

	start(&cg, 0);
	if (!cgroup_has(&layout, CGROUP_CPUSET)) {
		limits.cpuset_cpus = "0";
		CHECK(cgroup_limits_apply(&cg, &limits, &err) < 0);
		CHECK_EQ(err.kind, ERR_UNSUPPORTED);
		CHECK(strstr(err.msg, "cpuset"));
		finish(&cg);
		return;
	}
	pid_t child = spawn(&cg, sleep_forever);
	limits.cpuset_cpus = "0";
	check_ok(cgroup_limits_apply(&cg, &limits, &err), &err);
	CHECK_STR(value_of(&cg, CGROUP_CPUSET, "cpuset.cpus"), "0");
	limits.cpuset_cpus = "4000";
	CHECK(cgroup_limits_apply(&cg, &limits, &err) < 0);
	finish(&cg);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

TEST(groups_below_are_removed)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;

	start(&cg, 0);
	for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
		if (cg.fd[i] >= 0) {
			CHECK_EQ(mkdirat(cg.fd[i], "a", 0755), 0);
			CHECK_EQ(mkdirat(cg.fd[i], "a/b", 0755), 0);
		}
	finish(&cg);
}

TEST(path_cannot_leave)
{
	static const char *const bad[] = { "", "/hull/x", "hull/../x", "hull//x", "..", ".", "hull/", "hull/./x" };
	struct cgroup cg = CGROUP_INIT;

	if (cgroup_detect(&layout) < 0)
		TEST_SKIP("no cgroups here");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_EQ(cgroup_open(&layout, bad[i], &cg), -EINVAL);
}

TEST(shares_become_weight)
{
	CHECK_EQ(cgroup_shares_to_weight(2), 1);
	CHECK_EQ(cgroup_shares_to_weight(1024), 100);
	CHECK_EQ(cgroup_shares_to_weight(262144), 10000);
	CHECK_EQ(cgroup_shares_to_weight(1u << 30), 10000);
	uint64_t last = 0;
	for (uint64_t s = 0; s < 300000; s += 97) {
		uint64_t w = cgroup_shares_to_weight(s);
		CHECK(w >= last && w >= 1 && w <= 10000);
		last = w;
	}
}

/* ---- device programs ---- */

/* Just the instructions the compiler emits. */
static int interpret(const struct bpf_insn *p, size_t n, uint32_t access_type, uint32_t major, uint32_t minor)
{
	uint32_t ctx[3] = { access_type, major, minor };
	uint64_t r[11] = { 0 };

	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &p[pc];
		uint64_t imm = (uint64_t)(int64_t)i->imm;
		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			r[i->dst_reg] = ctx[i->off / 4];
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			r[i->dst_reg] = (uint32_t)r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[i->dst_reg] = imm;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			r[i->dst_reg] = (uint32_t)r[i->dst_reg] & (uint32_t)imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			r[i->dst_reg] = (uint32_t)r[i->dst_reg] >> imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += r[i->dst_reg] != imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			pc += (uint32_t)r[i->dst_reg] != (uint32_t)imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += r[i->dst_reg] == imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			test_fail(__FILE__, __LINE__, "instruction %zu: unknown code %02x", pc, i->code);
		}
	}
	test_fail(__FILE__, __LINE__, "ran off the end");
}

TEST(device_program_equals_the_rules)
{
	static const char *const accesses[] = { "", "r", "w", "m", "rw", "rm", "wm", "rwm" };
	uint64_t passed = 0, total = 0;

	srand(1);
	for (int round = 0; round < 3000; round++) {
		struct cgroup_device_rule rules[12];
		size_t n = (size_t)rand() % 12, count = 0;
		CLEANUP_FREE struct bpf_insn *insns = NULL;

		for (size_t i = 0; i < n; i++) {
			rules[i] = (struct cgroup_device_rule){
				.allow = rand() % 3 != 0,
				.type = "abcc"[rand() % 4],
				.major = rand() % 4 - 1,
				.minor = rand() % 4 - 1,
			};
			if (rand() % 16 == 0)
				rules[i].major = UINT32_MAX;
			snprintf(rules[i].access, sizeof(rules[i].access), "%s", accesses[rand() % 8]);
		}
		CHECK_EQ(cgroup_devices_compile(rules, n, &insns, &count), 0);
		for (int k = 0; k < 40; k++) {
			bool is_block = rand() % 2;
			uint32_t major = rand() % 16 ? (uint32_t)rand() % 4 : UINT32_MAX, minor = (uint32_t)rand() % 4;
			unsigned access = (unsigned)rand() % 8;
			bool want = cgroup_devices_is_allowed(rules, n, is_block ? 'b' : 'c', major, minor, access);
			int got = interpret(insns, count,
					    access << 16 | (is_block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR), major,
					    minor);
			/* The kernel never asks for no access; any answer will do. */
			if (access)
				CHECK_EQ(got, want);
			passed += want;
			total++;
		}
	}
	CHECK(passed > total / 10 && passed < total - total / 10);
}

static struct cgroup_device_rule usual_rules[] = {
	{ false, 'a', -1, -1, "rwm" },
	{ true, 'c', 1, 3, "rwm" },
	{ true, 'c', 1, 5, "rw" },
};

static void try_devices(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		_exit(1);
	close(fd);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		_exit(2);
	close(fd);
	fd = open("/dev/full", O_RDWR | O_CLOEXEC);
	_exit(fd < 0 && errno == EPERM ? 0 : 3);
}

TEST(devices_are_filtered)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct err err = ERR_INIT;
	int status;

	start(&cg, 0);
	if (access("/dev/full", F_OK) < 0)
		TEST_SKIP("no /dev/full");
	int r = cgroup_devices_apply(&cg, usual_rules, ARRAY_LEN(usual_rules), &err);
	if (r < 0 && err.kind == ERR_UNSUPPORTED) {
		finish(&cg);
		TEST_SKIP("%s", err.msg);
	}
	check_ok(r, &err);
	pid_t child = spawn(&cg, try_devices);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(status, 0);
	finish(&cg);
}

TEST(hot_path_cost)
{
	struct err err = ERR_INIT;
	CLEANUP_CGROUP struct cgroup warm = CGROUP_INIT;
	int64_t best_create = INT64_MAX, best_attach = INT64_MAX, best_devices = INT64_MAX, best_destroy = INT64_MAX,
		best_detect = INT64_MAX;

	start(&warm, 0);
	for (int i = 0; i < 20; i++) {
		CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
		char name[80];

		snprintf(name, sizeof(name), "%s-%d", path, i);
		int64_t t0 = clock_mono_ns();
		CHECK_EQ(cgroup_detect(&layout), 0);
		int64_t t1 = clock_mono_ns();
		check_ok(cgroup_create(&layout, name, 0, &cg, &err), &err);
		int64_t t2 = clock_mono_ns();
		bool has_devices = cgroup_devices_apply(&cg, usual_rules, ARRAY_LEN(usual_rules), &err) == 0;
		int64_t t3 = clock_mono_ns();
		pid_t child = fork();
		if (child == 0)
			sleep_forever();
		int64_t t4 = clock_mono_ns();
		CHECK_EQ(cgroup_attach(&cg, child, false), 0);
		int64_t t5 = clock_mono_ns();
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		cgroup_close(&cg);
		int64_t t6 = clock_mono_ns();
		CHECK_EQ(cgroup_destroy(&layout, name, clock_mono_ms() + 5000), 0);
		int64_t t7 = clock_mono_ns();
#define BEST(var, v) var = (v) < var ? (v) : var
		BEST(best_detect, t1 - t0);
		BEST(best_create, t2 - t1);
		if (has_devices)
			BEST(best_devices, t3 - t2);
		BEST(best_attach, t5 - t4);
		BEST(best_destroy, t7 - t6);
	}
	printf("# us, best of 20 (%s): detect %lld create %lld devices %lld attach %lld destroy %lld\n",
	       cgroup_mode_name(layout.mode), (long long)best_detect / 1000, (long long)best_create / 1000,
	       (long long)best_devices / 1000, (long long)best_attach / 1000, (long long)best_destroy / 1000);
	finish(&warm);
}
TEST_MAIN()
