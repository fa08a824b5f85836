/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_link.h"
#include "agent_stream.h"
#include "fd.h"
#include "str.h"
#include "test.h"

/* Two links in one loop, by a socket or by a ring. */
struct side {
	struct agent_link link;
	unsigned frames;
	struct agent_frame last;
	char payload[AGENT_PAYLOAD_MAX];
	int gone;
	struct agent_source *source;
	struct agent_sink *sink;
	struct loop *loop;
};

static void frame(struct agent_link *l, const struct agent_frame *f, const char *payload)
{
	struct side *s = l->ctx;
	s->frames++;
	s->last = *f;
	if (f->len)
		memcpy(s->payload, payload, f->len);
	if (f->type == AGENT_DATA && s->sink)
		CHECK_EQ(agent_sink_data(s->sink, payload, f->len), 0);
	if (f->type == AGENT_EOF && s->sink)
		agent_sink_eof(s->sink);
	if (f->type == AGENT_CREDIT && s->source)
		agent_source_credit(s->source, f->arg);
	if (f->type == AGENT_SHUTDOWN)
		s->loop->is_quitting = true;
}

static void gone(struct agent_link *l, int error)
{
	struct side *s = l->ctx;
	s->gone = error;
	s->loop->is_quitting = true;
}

static struct side a, b;
static _Alignas(64) char memory[AGENT_RING_MEMORY];

static void join(struct loop *loop, bool by_ring)
{
	int pair[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	memset(memory, 0, sizeof(memory));
	CHECK_EQ(loop_init(loop), 0);
	struct side *sides[2] = { &a, &b };
	for (int i = 0; i < 2; i++) {
		*sides[i] = (struct side){ .loop = loop };
		sides[i]->link.frame = frame;
		sides[i]->link.gone = gone;
		sides[i]->link.ctx = sides[i];
		CHECK_EQ(by_ring ? agent_link_open_ring(&sides[i]->link, loop, pair[i], memory, i == 0) :
				   agent_link_open(&sides[i]->link, loop, pair[i]),
			 0);
	}
}

static void part(struct loop *loop)
{
	agent_link_close(&a.link);
	agent_link_close(&b.link);
	loop_done(loop);
}

static void frames_arrive(bool by_ring)
{
	struct loop loop;
	char data[AGENT_PAYLOAD_MAX];
	join(&loop, by_ring);
	memset(data, 'x', sizeof(data));
	/* More than a socket or a ring takes at once. */
	for (uint32_t i = 0; i < 100; i++)
		agent_link_send(&a.link, AGENT_DATA, 7, AGENT_STDOUT, i, data, sizeof(data));
	agent_link_send(&a.link, AGENT_SHUTDOWN, 0, 0, 0, NULL, 0);
	CHECK_EQ(loop_run(&loop), 0);
	CHECK_EQ(b.frames, 101);
	CHECK(memcmp(b.payload, data, sizeof(data)) == 0);
	part(&loop);
}

TEST(frames_arrive_by_socket)
{
	frames_arrive(false);
}

TEST(frames_arrive_by_ring)
{
	frames_arrive(true);
}

static int taken;

static void take_fd(struct agent_link *l, const struct agent_frame *f, const char *payload)
{
	taken = f->type == AGENT_CONNECT ? TAKE_FD(l->passed_fd) : -1;
	((struct side *)l->ctx)->loop->is_quitting = true;
}

/* A descriptor goes with its frame, or is closed with the next. */
TEST(descriptors_come_along)
{
	struct loop loop;
	struct agent_interface what = { .name = "eth1" };
	struct { struct agent_frame f; struct agent_interface what; } connect = { { sizeof(what), AGENT_CONNECT, 0, 1, 0 }, what };
	struct agent_frame stats = { .type = AGENT_STATS, .session = 1 };
	int wire[2];
	join(&loop, false);
	agent_link_close(&a.link);
	agent_link_close(&b.link);
	b.link.takes_fds = true;
	b.link.frame = take_fd;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire), 0);
	CHECK_EQ(agent_link_open(&b.link, &loop, wire[0]), 0);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* With a frame that does not want it, it is closed. */
	CHECK_EQ(fd_send(wire[1], &stats, sizeof(stats), &fd, 1), 0);
	CHECK_EQ(loop_run(&loop), 0);
	int unwanted = b.link.passed_fd;
	CHECK(unwanted >= 0);
	loop.is_quitting = false;
	CHECK_EQ(fd_send(wire[1], &stats, sizeof(stats), NULL, 0), 0);
	CHECK_EQ(loop_run(&loop), 0);
	CHECK_EQ(fcntl(unwanted, F_GETFD), -1);
	loop.is_quitting = false;
	CHECK_EQ(fd_send(wire[1], &connect, sizeof(connect), &fd, 1), 0);
	CHECK_EQ(loop_run(&loop), 0);
	CHECK(taken >= 0 && fcntl(taken, F_GETFD) >= 0);
	CHECK_EQ(b.link.passed_fd, -1);
	close(taken);
	close(fd);
	close(wire[1]);
	part(&loop);
}

static void finished(void *ctx)
{
	struct loop *loop = ctx;
	loop->is_quitting = true;
}

static void stream_is_whole(bool by_ring)
{
	struct loop loop;
	struct agent_source source = { 0 };
	struct agent_sink sink = { .done = finished, .ctx = &loop };
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	const size_t size = 3 * AGENT_WINDOW + 17;
	char *text = mem_calloc(1, size), *again = mem_calloc(1, size);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)(i * 31 % 251);
	CHECK_EQ(write(in, text, size), (ssize_t)size);
	CHECK_EQ(lseek(in, 0, SEEK_SET), 0);
	join(&loop, by_ring);
	CHECK_EQ(agent_sink_open(&sink, &b.link, 3, AGENT_STDOUT, fcntl(out, F_DUPFD_CLOEXEC, 0), true), 0);
	CHECK_EQ(agent_source_open(&source, &a.link, 3, AGENT_STDOUT, in), 0);
	a.source = &source;
	b.sink = &sink;
	CHECK_EQ(loop_run(&loop), 0);
	CHECK_EQ(pread(out, again, size, 0), (ssize_t)size);
	CHECK(memcmp(text, again, size) == 0);
	CHECK(agent_sink_is_idle(&sink));
	close(out);
	free(text);
	free(again);
	part(&loop);
}

TEST(stream_is_whole_by_socket)
{
	stream_is_whole(false);
}

TEST(stream_is_whole_by_ring)
{
	stream_is_whole(true);
}

TEST(who_sends_more_than_granted_is_refused)
{
	struct loop loop;
	struct agent_sink sink = { 0 };
	char data[AGENT_PAYLOAD_MAX] = "";
	int p[2];
	join(&loop, false);
	CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
	CHECK(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	CHECK_EQ(agent_sink_open(&sink, &b.link, 1, AGENT_STDIN, p[1], false), 0);
	/* Nobody reads the pipe: the window is used up, then one byte too many. */
	CHECK_EQ(agent_sink_data(&sink, data, sizeof(data)), 0);
	CHECK_EQ(agent_sink_data(&sink, data, sizeof(data)), 0);
	CHECK_EQ(agent_sink_data(&sink, data, 4097), -EBADMSG);
	agent_sink_close(&sink);
	close(p[0]);
	part(&loop);
}

static void bad(const struct agent_frame *f)
{
	struct loop loop;
	join(&loop, false);
	CHECK_EQ(write(a.link.source.fd, f, sizeof(*f)), (ssize_t)sizeof(*f));
	CHECK_EQ(loop_run(&loop), 0);
	CHECK_EQ(b.gone, -EBADMSG);
	CHECK_EQ(b.frames, 0);
	part(&loop);
}

TEST(bad_frames_end_the_link)
{
	bad(&(struct agent_frame){ .type = 0 });
	bad(&(struct agent_frame){ .type = 31 });
	bad(&(struct agent_frame){ .type = AGENT_DATA, .len = AGENT_PAYLOAD_MAX + 1 });
	bad(&(struct agent_frame){ .type = AGENT_DATA, .len = 0 });
	bad(&(struct agent_frame){ .type = AGENT_DATA, .len = 1, .stream = AGENT_STREAM_COUNT });
	bad(&(struct agent_frame){ .type = AGENT_ERROR, .len = 3 });
	bad(&(struct agent_frame){ .type = AGENT_EXIT, .len = 0xffffffff });
}

TEST(a_lying_ring_is_noticed)
{
	struct agent_ring host, guest;
	char data[64] = "";
	memset(memory, 0, sizeof(memory));
	agent_ring_init(&host, memory, true);
	agent_ring_init(&guest, memory, false);
	CHECK_EQ(agent_ring_write(&guest, "abc", 3), 3);
	CHECK_EQ(agent_ring_read(&host, data, sizeof(data)), 3);
	CHECK(memcmp(data, "abc", 3) == 0);
	/* Positions that no honest writer or reader has. */
	guest.out_head += AGENT_RING_BYTES + 1;
	CHECK_EQ(agent_ring_write(&guest, "abc", 3), -EBADMSG);
	memset(memory, 0xa5, 4096);
	CHECK_EQ(agent_ring_read(&host, data, sizeof(data)), -EBADMSG);
	CHECK_EQ(agent_ring_write(&host, data, sizeof(data)), -EBADMSG);
}

TEST(a_guests_error_is_shown_clean)
{
	struct agent_error e = { .kind = 77, .errnum = 5 };
	struct err err;
	memset(e.msg, 'x', sizeof(e.msg));
	e.msg[0] = '\033';
	agent_error_unpack(&e, sizeof(e), &err);
	CHECK_EQ(err.kind, ERR_SYSTEM);
	CHECK_EQ(err.errnum, 0);
	CHECK_EQ(strlen(err.msg), sizeof(err.msg) - 1);
	CHECK_EQ(err.msg[0], '?');
	struct err in = ERR_INIT, out;
	(void)!err_set(&in, ERR_NOT_FOUND, -ENOENT, "no %s", "file");
	err_hint(&in, "try");
	agent_error_pack(&in, &e);
	agent_error_unpack(&e, sizeof(e), &out);
	CHECK_EQ(out.kind, ERR_NOT_FOUND);
	CHECK_EQ(out.errnum, -ENOENT);
	CHECK_STR(out.msg, in.msg);
	CHECK_STR(out.hint, "try");
}

TEST_MAIN()
