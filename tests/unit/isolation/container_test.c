/* SPDX-License-Identifier: Apache-2.0 */
/* The container level without engine or monitor: a busybox from the host as the
 * one layer, a launcher forked as the monitor would. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.h"
#include "isolation.h"
#include "test.h"

#define BUSYBOX "/bin/busybox"

static const struct isolation *level;

struct answer {
	struct err err;
	struct isolation_handle handle;
	int r;
};

static void copy_file(const char *from, const char *to)
{
	CLEANUP_BUF struct buf b = BUF_INIT(16 << 20);
	CHECK_EQ(fd_read_file_at(AT_FDCWD, from, &b), 0);
	CHECK_EQ(fd_replace_file_at(AT_FDCWD, to, b.data, b.len, 0755, false), 0);
}

static char *in_tmp(const char *name)
{
	return str_printf("%s/%s", test_tmpdir(), name);
}

static void add_mount(struct runtime_spec *s, const char *to, const char *type, const char *source, const char *options)
{
	s->mounts = reallocarray(s->mounts, s->mounts_n + 1, sizeof(*s->mounts));
	struct spec_mount *m = &s->mounts[s->mounts_n++];
	*m = (struct spec_mount){ .destination = str_dup(to), .type = str_dup(type), .source = str_dup(source) };
	strv_split(&m->options, options, ',');
}

static void need_root(void)
{
	struct err err = ERR_INIT;
	struct stat st;
	if (geteuid() != 0)
		TEST_SKIP("needs root");
	if (stat(BUSYBOX, &st) < 0)
		TEST_SKIP("needs busybox-static");
	CHECK_EQ(isolation_get(ISOLATION_CONTAINER, &level, &err), 0);
	if (level->probe(&err) < 0)
		TEST_SKIP("%s", err.msg);
}

/* A root with busybox as bin/sh, in a layer, and a specification to run
 * @script in it. */
static struct runtime_spec *new_spec(const char *script)
{
	static const char *const dirs[] = { "layer", "layer/bin", "layer/etc", "rw", "rw/upper", "rw/work" };
	static const char *const applets[] = { "sh", "cat", "id", "ls", "stat", "touch", "hostname", "readlink", "sleep", "wc", "true", "grep" };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		CLEANUP_FREE char *path = in_tmp(dirs[i]);
		CHECK_EQ(mkdir(path, 0755), 0);
	}
	CLEANUP_FREE char *busybox = in_tmp("layer/bin/busybox"), *bin = in_tmp("layer/bin");
	copy_file(BUSYBOX, busybox);
	for (size_t i = 0; i < ARRAY_LEN(applets); i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", bin, applets[i]);
		CHECK_EQ(symlink("busybox", path), 0);
	}
	struct runtime_spec *s = runtime_spec_new();
	strv_add(&s->process.args, "sh");
	strv_add(&s->process.args, "-c");
	strv_add(&s->process.args, script);
	strv_add(&s->process.env, "PATH=/bin");
	s->process.cwd = str_dup("/");
	s->process.caps.bounding = s->process.caps.permitted = s->process.caps.effective = 0xa80425fb;
	strv_take(&s->layers, in_tmp("layer"));
	s->upper = in_tmp("rw/upper");
	s->work = in_tmp("rw/work");
	s->hostname = str_dup("box");
	for (int i = 0; i < SPEC_NS_COUNT; i++)
		s->ns[i].wanted = i != SPEC_NS_TIME;
	s->uid_maps = mem_calloc(1, sizeof(*s->uid_maps));
	s->gid_maps = mem_calloc(1, sizeof(*s->gid_maps));
	s->uid_maps_n = s->gid_maps_n = 1;
	*s->uid_maps = *s->gid_maps = (struct spec_idmap){ 0, 0x10000000, 65536 };
	s->cgroup_path = str_printf("hull/test-%d", getpid());
	add_mount(s, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(s, "/dev", "tmpfs", "tmpfs", "nosuid,mode=755,size=65536k");
	add_mount(s, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620");
	add_mount(s, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
	return s;
}

static pid_t launch(const struct runtime_spec *s, int out, struct answer *a)
{
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t launcher = fork();
	if (launcher == 0) {
		struct isolation_fds fds = ISOLATION_FDS_INIT;
		struct isolation_io io = { null, out, out };
		memset(a, 0, sizeof(*a));
		a->r = level->start(s, &io, &a->handle, &fds, &a->err);
		_exit(fd_send(pair[1], a, sizeof(*a), NULL, 0) < 0);
	}
	close(pair[1]);
	CHECK_EQ(fd_read_exact(pair[0], a, sizeof(*a)), 0);
	close(pair[0]);
	CHECK_EQ(waitpid(launcher, NULL, 0), launcher);
	return a->handle.pid;
}

/* Run the specification to its end; its output into @out, its status returned. */
static int run(struct runtime_spec *s, struct buf *out, struct answer *a)
{
	int pipe_fds[2], status = -1;
	struct err err = ERR_INIT;
	CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t pid = launch(s, pipe_fds[1], a);
	close(pipe_fds[1]);
	CHECK_EQ(fd_read_all(pipe_fds[0], out), 0);
	close(pipe_fds[0]);
	/* A failed start leaves a zombie of ours too. */
	(void)pid;
	while (waitpid(-1, &status, __WALL) > 0)
		;
	struct isolation_handle handle = { 0 };
	CHECK_EQ(str_copy(handle.cgroup, sizeof(handle.cgroup), s->cgroup_path), 0);
	CHECK_EQ(level->destroy(&handle, &err), 0);
	CHECK_EQ(level->destroy(&handle, &err), 0);
	return status;
}

static void check_output(const char *script, const char *want)
{
	struct answer a;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec(script);
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	run(s, &out, &a);
	if (a.r < 0)
		test_fail(__FILE__, __LINE__, "%s", a.err.msg);
	CHECK_STR(buf_str(&out), want);
}

TEST(runs_as_pid_1_and_root_of_its_own)
{
	need_root();
	check_output("echo $$; id -u; hostname; cat /proc/self/uid_map", "1\n0\nbox\n         0  268435456      65536\n");
}

TEST(files_belong_to_root_inside)
{
	need_root();
	check_output("touch /new; stat -c '%u:%g %n' /new /bin/busybox", "0:0 /new\n0:0 /bin/busybox\n");
	struct stat st;
	CLEANUP_FREE char *path = in_tmp("rw/upper/new");
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_uid, 0);
}

TEST(exit_status_is_the_command_s)
{
	need_root();
	struct answer a;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("exit 42");
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	int status = run(s, &out, &a);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

TEST(devices_work_and_none_can_be_made)
{
	need_root();
	check_output("echo x > /dev/null && cat /dev/zero | (read -n 1 x; echo zero); ls /dev; busybox mknod /d c 1 3 2>&1",
		     "zero\ncore\nfd\nfull\nnull\nptmx\npts\nrandom\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
		     "mknod: /d: Operation not permitted\n");
}

TEST(missing_command_has_docker_s_words)
{
	need_root();
	struct answer a;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("");
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	strv_free(&s->process.args);
	strv_add(&s->process.args, "no-such");
	run(s, &out, &a);
	CHECK_EQ(a.r, -ENOENT);
	CHECK_STR(a.err.msg, "exec: \"no-such\": executable file not found in $PATH");
	strv_free(&s->process.args);
	strv_add(&s->process.args, "/etc");
	run(s, &out, &a);
	CHECK_EQ(a.r, -EACCES);
}

TEST(masked_and_readonly_paths)
{
	need_root();
	struct answer a;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s =
		new_spec("cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l; (echo x > /proc/sys/kernel/hostname) 2>&1 | grep -c Read-only");
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	strv_add(&s->masked_paths, "/proc/timer_list");
	strv_add(&s->masked_paths, "/sys/firmware");
	strv_add(&s->masked_paths, "/proc/not-there");
	strv_add(&s->readonly_paths, "/proc/sys");
	run(s, &out, &a);
	if (a.r < 0)
		test_fail(__FILE__, __LINE__, "%s", a.err.msg);
	CHECK_STR(buf_str(&out), "0\n0\n1\n");
}

TEST(binds_are_mapped_and_contained)
{
	need_root();
	struct answer a;
	CLEANUP_FREE char *host = in_tmp("host"), *link = in_tmp("layer/escape");
	CHECK_EQ(mkdir(host, 0755), 0);
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("echo hi > /m/f; stat -c %u /m; (touch /ro/x) 2>&1 | grep -c Read-only; ls /etc/in");
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	/* A link in the image that points outside leads inside. */
	CHECK_EQ(symlink("/etc/in", link), 0);
	add_mount(s, "/m", "bind", host, "rbind,rw");
	add_mount(s, "/ro", "bind", host, "rbind,ro");
	run(s, &out, &a);
	if (a.r < 0)
		test_fail(__FILE__, __LINE__, "%s", a.err.msg);
	CHECK(strstr(buf_str(&out), "0\n1\n") == buf_str(&out));
	CLEANUP_FREE char *file = in_tmp("host/f");
	CLEANUP_BUF struct buf text = BUF_INIT(100);
	CHECK_EQ(fd_read_file_at(AT_FDCWD, file, &text), 0);
	CHECK_STR(buf_str(&text), "hi\n");
}

TEST(hostile_links_in_the_image_are_refused_or_contained)
{
	need_root();
	struct answer a;
	CLEANUP_FREE char *outside = in_tmp("outside"), *dev = in_tmp("layer/dev"), *proc = in_tmp("layer/proc");
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("ls -d /dev/null");
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CHECK_EQ(mkdir(outside, 0777), 0);
	CHECK_EQ(symlink(outside, dev), 0);
	CHECK_EQ(symlink("/etc", proc), 0);
	run(s, &out, &a);
	/* Nothing was made outside, whatever came of it. */
	CHECK_EQ(rmdir(outside), 0);
}

TEST(working_directory_outside_is_refused)
{
	need_root();
	struct answer a;
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("pwd");
	for (int fd = 3; fd < 12; fd++) {
		free(s->process.cwd);
		s->process.cwd = str_printf("/proc/self/fd/%d", fd);
		run(s, &out, &a);
		CHECK(a.r < 0);
	}
	CHECK_STR(buf_str(&out), "");
}

TEST(exec_enters_and_signals_reach)
{
	need_root();
	struct answer a;
	struct err err = ERR_INIT;
	int status;
	CLEANUP_RUNTIME_SPEC struct runtime_spec *s = new_spec("sleep 60");
	CLEANUP_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	launch(s, null, &a);
	if (a.r < 0)
		test_fail(__FILE__, __LINE__, "%s", a.err.msg);

	int pipe_fds[2];
	CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid_t launcher = fork();
	if (launcher == 0) {
		pid_t pid;
		int pidfd, pty;
		struct isolation_io io = { null, pipe_fds[1], pipe_fds[1] };
		struct spec_process p = s->process;
		p.args = (struct strv){ 0 };
		strv_add(&p.args, "sh");
		strv_add(&p.args, "-c");
		strv_add(&p.args, "id -u; readlink /proc/self/ns/pid | wc -l; cat /proc/1/comm; ls /; grep -c vda /proc/self/mountinfo; exit 3");
		_exit(level->exec(&a.handle, s, &p, &io, &pid, &pidfd, &pty, &err) < 0);
	}
	close(pipe_fds[1]);
	CLEANUP_BUF struct buf out = BUF_INIT(65536);
	CHECK_EQ(fd_read_all(pipe_fds[0], &out), 0);
	close(pipe_fds[0]);
	CHECK_EQ(waitpid(launcher, &status, 0), launcher);
	CHECK_EQ(status, 0);
	CHECK_STR(buf_str(&out), "0\n1\nsleep\nbin\ndev\netc\nproc\nsys\n0\n");

	struct isolation_stats stats;
	CHECK_EQ(level->stats(&a.handle, &stats, &err), 0);
	CHECK(stats.pids >= 1);
	CHECK_EQ(level->pause(&a.handle, &err), 0);
	CHECK_EQ(level->resume(&a.handle, &err), 0);
	CHECK_EQ(level->signal(&a.handle, SIGKILL, false, &err), 0);
	bool killed = false;
	while (waitpid(-1, &status, __WALL) > 0)
		killed = killed || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(killed);
	CHECK_EQ(level->signal(&a.handle, SIGKILL, false, &err), -ESRCH);
	CHECK_EQ(level->destroy(&a.handle, &err), 0);
}

TEST(levels_and_aliases)
{
	enum isolation_level l;
	struct err err = ERR_INIT;
	const struct isolation *back_end;
	CHECK_EQ(isolation_level_parse("", &l, &err), 0);
	CHECK_EQ(l, ISOLATION_CONTAINER);
	CHECK_EQ(isolation_level_parse("kata-qemu", &l, &err), 0);
	CHECK_EQ(l, ISOLATION_MICROVM);
	CHECK_EQ(isolation_level_parse("io.containerd.runsc.v2", &l, &err), 0);
	CHECK_EQ(l, ISOLATION_SANDBOX);
	CHECK(isolation_level_parse("nonsense", &l, &err) < 0);
	CHECK_STR(err.msg, "invalid isolation (nonsense)");
	CHECK(isolation_get(ISOLATION_VM, &back_end, &err) < 0);
	CHECK_EQ(err.kind, ERR_UNSUPPORTED);
}

TEST_MAIN()
