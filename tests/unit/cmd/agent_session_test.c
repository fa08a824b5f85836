/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's sessions with a launcher and processes that the test plays: so what
 * in a guest is a race happens here in every order that it can. */
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "fd.h"
#include "test.h"

#define EXEC_SESSION 7u
#define STEPS 16

/* A number that no process has: nothing is to be killed in its place. */
#define CHILD 0x3ffffff0

static const char process_document[] = "{\"args\":[\"true\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}";

/* The launcher's side. */
static int told = -1, output[2] = { -1, -1 };

int launch_fork(struct agent *a, const struct launch_order *order, pid_t *ret_pid, int *ret_sock, struct err *err)
{
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 2; i++) {
		output[i] = dup(order->stdio[1 + i]);
		CHECK(output[i] >= 0);
	}
	told = pair[1];
	*ret_pid = 1;
	*ret_sock = pair[0];
	return 0;
}

void launch_receive(int sock, struct launched *ret, int *ret_pty)
{
	*ret_pty = -1;
	CHECK_EQ(recv(sock, ret, sizeof(*ret), 0), sizeof(*ret));
}

int copy_start(struct session *s, bool sends, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, 0, "not played");
}

void copy_told(struct session *s, const char *payload, size_t len)
{
}

void copy_drain(struct session *s)
{
}

int files_mount(const struct boot_ports *ports, struct err *err)
{
	return 0;
}

int names_start(struct agent *a, struct err *err)
{
	return 0;
}

void names_answer(struct agent *a, const char *payload, size_t len)
{
}

int storage_mount(struct runtime_spec *spec, struct err *err)
{
	return 0;
}

int interfaces_set_up(const struct spec_interface *ifs, size_t n, struct err *err)
{
	return 0;
}

int networks_connect(struct agent *a, const struct runtime_spec *spec, struct err *err)
{
	return 0;
}

int networks_disconnect(const struct agent_interface *i, struct err *err)
{
	return 0;
}

int networks_route(const struct agent_routes *routes, struct err *err)
{
	return 0;
}

void boot_power_off(void)
{
	_exit(1);
}

static struct agent agent;
static int host = -1;

static void from_host(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	session_frame(link->ctx, f, payload);
}

static void host_gone(struct agent_link *link, int error)
{
}

/* All that can happen now has happened after them; none waits. */
static void settle(void)
{
	for (int i = 0; i < STEPS; i++)
		CHECK(loop_step(&agent.loop, 0) >= 0);
}

static bool has_been_told(void)
{
	int n = 0;
	CHECK_EQ(ioctl(host, FIONREAD, &n), 0);
	return n > 0;
}

static void expect(uint16_t type, uint16_t stream, uint32_t arg, const char *text)
{
	static char payload[AGENT_PAYLOAD_MAX];
	struct agent_frame f;
	CHECK(has_been_told());
	CHECK_EQ(agent_read_frame(host, &f, payload), 0);
	CHECK_EQ(f.session, EXEC_SESSION);
	CHECK_EQ(f.type, type);
	CHECK_EQ(f.stream, stream);
	CHECK_EQ(f.arg, arg);
	CHECK_EQ(f.len, strlen(text));
	CHECK(memcmp(payload, text, f.len) == 0);
}

static void begin_exec(void)
{
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	host = pair[1];
	CHECK_EQ(loop_init(&agent.loop), 0);
	agent.names.source.fd = agent.memory.fd = -1;
	agent.handle.pid = CHILD;
	agent.link.frame = from_host;
	agent.link.gone = host_gone;
	agent.link.ctx = &agent;
	CHECK_EQ(agent_link_open(&agent.link, &agent.loop, pair[0]), 0);
	CHECK_EQ(agent_write_frame(host, AGENT_DOCUMENT, EXEC_SESSION, AGENT_DOC_SPEC, 0, process_document, strlen(process_document)), 0);
	CHECK_EQ(agent_write_frame(host, AGENT_EXEC, EXEC_SESSION, 0, 0, NULL, 0), 0);
	settle();
	CHECK(told >= 0);
	CHECK(!has_been_told());
}

static void launcher_tells(int r)
{
	struct launched l = { .r = r, .pid = CHILD };
	if (r < 0)
		(void)err_set(&l.err, ERR_NOT_FOUND, 0, "no such program");
	CHECK_EQ(send(told, &l, sizeof(l), 0), sizeof(l));
	cleanup_fd(&told);
	settle();
}

static void process_closes(void)
{
	cleanup_fd(&output[0]);
	cleanup_fd(&output[1]);
}

static void done(void)
{
	for (size_t i = 0; i < AGENT_SESSIONS_MAX; i++)
		CHECK(!agent.sessions[i].agent);
	CHECK(!has_been_told());
	agent_link_close(&agent.link);
	loop_done(&agent.loop);
	cleanup_fd(&told);
	cleanup_fd(&host);
	process_closes();
}

TEST(output_before_the_launcher_has_told_is_sent_after_the_start)
{
	begin_exec();
	CHECK_EQ(write(output[0], "out", 3), 3);
	CHECK_EQ(write(output[1], "err", 3), 3);
	settle();
	CHECK(!has_been_told());
	launcher_tells(0);
	expect(AGENT_STARTED, 0, CHILD, "");
	expect(AGENT_DATA, AGENT_STDOUT, 0, "out");
	expect(AGENT_DATA, AGENT_STDERR, 0, "err");
	process_closes();
	session_child_ended(&agent, CHILD, 3 << 8);
	settle();
	expect(AGENT_EOF, AGENT_STDOUT, 0, "");
	expect(AGENT_EOF, AGENT_STDERR, 0, "");
	expect(AGENT_EXIT, 0, 3, "");
	done();
}

TEST(a_process_that_ends_before_the_launcher_has_told)
{
	begin_exec();
	CHECK_EQ(write(output[0], "out", 3), 3);
	process_closes();
	session_child_ended(&agent, CHILD, 5 << 8);
	settle();
	CHECK(!has_been_told());
	launcher_tells(0);
	expect(AGENT_STARTED, 0, CHILD, "");
	expect(AGENT_DATA, AGENT_STDOUT, 0, "out");
	expect(AGENT_EOF, AGENT_STDOUT, 0, "");
	expect(AGENT_EOF, AGENT_STDERR, 0, "");
	expect(AGENT_EXIT, 0, 5, "");
	done();
}

TEST(a_start_that_fails_tells_its_error_alone)
{
	begin_exec();
	CHECK_EQ(write(output[1], "half", 4), 4);
	process_closes();
	settle();
	launcher_tells(-ENOENT);
	static char payload[AGENT_PAYLOAD_MAX];
	struct agent_frame f;
	CHECK_EQ(agent_read_frame(host, &f, payload), 0);
	CHECK_EQ(f.type, AGENT_ERROR);
	done();
}

TEST(who_is_abandoned_while_it_is_launched_says_nothing)
{
	begin_exec();
	CHECK_EQ(write(output[0], "out", 3), 3);
	CHECK_EQ(agent_write_frame(host, AGENT_KILL, EXEC_SESSION, 0, 0, NULL, 0), 0);
	settle();
	launcher_tells(0);
	process_closes();
	session_child_ended(&agent, CHILD, SIGKILL);
	settle();
	done();
}

TEST_MAIN()
