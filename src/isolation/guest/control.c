/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done to a running guest by its handle, from any process. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent_link.h"
#include "clock.h"
#include "container.h"
#include "fd.h"
#include "guest.h"
#include "guest_args.h"
#include "internal.h"
#include "process.h"

#define ANSWER_TIMEOUT_S 10
/* Figures of a guest that stands still are not worth waiting for. */
#define STATS_TIMEOUT_S 1

static int open_dir(const struct isolation_handle *handle)
{
	int fd = open(handle->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int guest_connect(const struct isolation_handle *handle, int *ret, struct err *err)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_S };
	CLEANUP_FD int dir = open_dir(handle);
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket");
	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d/" GUEST_SOCKET_NAME, dir);
	if (dir < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return err_set(err, ERR_CONFLICT, 0, "container is not running");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	*ret = TAKE_FD(fd);
	return 0;
}

static int send_question(int fd, const struct guest_question *q)
{
	char whole[sizeof(struct agent_frame) + sizeof(struct agent_routes)];
	struct agent_frame f = { .len = (uint32_t)q->len, .type = (uint16_t)q->type, .stream = q->stream, .session = AGENT_SESSION_WORKLOAD,
				 .arg = q->arg };
	if (sizeof(f) + q->len > sizeof(whole))
		return -EMSGSIZE;
	memcpy(whole, &f, sizeof(f));
	if (q->len)
		memcpy(whole + sizeof(f), q->payload, q->len);
	return fd_send(fd, whole, sizeof(f) + q->len, &q->fd, q->fd >= 0);
}

int guest_ask(const struct isolation_handle *handle, const struct guest_question *q, struct err *err)
{
	int timeout_s = q->timeout_s ? q->timeout_s : ANSWER_TIMEOUT_S;
	static char payload[AGENT_PAYLOAD_MAX];
	struct agent_frame f = { 0 };
	CLEANUP_FD int fd = -1;
	const struct timeval patience = { .tv_sec = timeout_s };
	int r = guest_connect(handle, &fd, err);
	if (r < 0)
		return r;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (q->document)
		r = agent_write_frame(fd, AGENT_DOCUMENT, AGENT_SESSION_WORKLOAD, AGENT_DOC_SPEC, 0, q->document->data, q->document->len);
	if (r == 0)
		r = send_question(fd, q);
	if (r == 0)
		r = agent_read_frame(fd, &f, payload);
	if (r == -EAGAIN)
		return err_set(err, ERR_TIMEOUT, 0, "the guest did not answer in %d s", timeout_s);
	if (r < 0)
		return r == -EPIPE ? err_set(err, ERR_CONFLICT, 0, "container is not running") : err_set(err, ERR_SYSTEM, r, "ask the guest");
	if (f.type == AGENT_ERROR) {
		agent_error_unpack(payload, f.len, err);
		return err->errnum < 0 ? err->errnum : -EIO;
	}
	if (f.len != q->answer_len)
		return err_set(err, ERR_SYSTEM, 0, "the guest gave a wrong answer");
	if (q->answer_len)
		memcpy(q->answer, payload, q->answer_len);
	return 0;
}

int guest_ask_pause(const struct isolation_handle *handle, bool pause, int timeout_s, struct err *err)
{
	return guest_ask(handle, &(struct guest_question){ .type = AGENT_PAUSE, .arg = pause, .fd = -1, .timeout_s = timeout_s }, err);
}

int guest_signal(const struct isolation_handle *handle, int signo, bool all, struct err *err)
{
	CLEANUP_FD int pidfd = -1, fd = -1;
	struct err ignored = ERR_INIT;
	int r = container_open_init(handle, &pidfd, err);
	if (r < 0)
		return r;
	r = guest_connect(handle, &fd, &ignored);
	if (r == 0)
		r = agent_write_frame(fd, AGENT_SIGNAL, 0, all ? AGENT_SIGNAL_ALL : 0, (uint32_t)signo, NULL, 0);
	/* A supervisor that does not listen can still be ended. */
	if (r < 0 && signo == SIGKILL)
		r = process_signal(pidfd, SIGKILL);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "send signal %d to the guest", signo) : 0;
}

/* A limit below what is in use would end the machine, not make it smaller. */
static int wait_for_memory(const struct isolation_handle *handle, uint64_t limit, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000000 };
	int64_t until = clock_mono_ms() + ANSWER_TIMEOUT_S * 1000;
	struct isolation_stats stats = { 0 };
	for (;;) {
		int r = isolation_container.stats(handle, &stats, err);
		if (r < 0 || stats.memory_usage_bytes <= limit)
			return r;
		if (clock_mono_ms() >= until)
			break;
		nanosleep(&pause, NULL);
	}
	int r = err_set(err, ERR_TIMEOUT, 0, "the guest has not given its memory back in %d s: the machine has %llu MiB of the host's",
			ANSWER_TIMEOUT_S, (unsigned long long)(stats.memory_usage_bytes >> 20));
	err_hint(err, "ask again, or restart it");
	return r;
}

int guest_update(const struct isolation_handle *handle, const struct spec_resources *res, bool gives_back, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(AGENT_PAYLOAD_MAX);
	struct spec_resources limits;
	guest_limits_inside(res, &limits);
	int r = runtime_spec_write_resources(&limits, &text);
	spec_resources_done(&limits);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the limits");
	int mark = -1;
	r = guest_wake(handle, &mark, err);
	if (r == 0)
		r = guest_ask(handle, &(struct guest_question){ .type = AGENT_UPDATE, .document = &text, .fd = -1, .arg = gives_back ? guest_memory_mib(res) : 0,
							.stream = gives_back ? guest_processors(res) : 0 }, err);
	guest_limits_outside(res, &limits);
	if (r == 0 && gives_back && limits.memory_limit_bytes > 0)
		r = wait_for_memory(handle, (uint64_t)limits.memory_limit_bytes, err);
	guest_sleep_again(handle, mark);
	if (r == 0)
		r = isolation_container.update(handle, &limits, err);
	spec_resources_done(&limits);
	return r;
}

/* What the supervisor kept of a guest that has ended. */
static int last_stats(const struct isolation_handle *handle, struct agent_stats *ret)
{
	CLEANUP_FD int dir = open_dir(handle);
	CLEANUP_FD int fd = dir < 0 ? -1 : openat(dir, GUEST_STATS_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -ENOENT : fd_read_exact(fd, ret, sizeof(*ret));
}

int guest_stats(const struct isolation_handle *handle, struct isolation_stats *ret, struct err *err)
{
	struct agent_stats inside = { 0 };
	struct err ignored = ERR_INIT;
	bool is_asleep = false;
	int r = isolation_container.stats(handle, ret, err);
	if (r < 0)
		return r;
	/* Processors and disks as the host counts them: the whole machine. Memory and
	 * processes as the workload's own kernel does, as for a container. */
	const struct guest_question q = { .type = AGENT_STATS, .fd = -1, .answer = &inside, .answer_len = sizeof(inside), .timeout_s = STATS_TIMEOUT_S };
	r = guest_ask(handle, &q, &ignored);
	if (r < 0 && ignored.kind == ERR_TIMEOUT)
		is_asleep = true;
	if (r < 0 && (is_asleep || last_stats(handle, &inside) < 0))
		return 0;
	ret->memory_total_bytes = inside.memory_total_bytes;
	ret->memory_inactive_file_bytes = inside.memory_inactive_file_bytes;
	ret->memory_usage_bytes = inside.memory_total_bytes > inside.memory_inactive_file_bytes ?
					  inside.memory_total_bytes - inside.memory_inactive_file_bytes :
					  inside.memory_total_bytes;
	ret->memory_max_bytes = inside.memory_max_bytes;
	ret->pids = inside.pids;
	/* The machine itself may have been killed for memory, too. */
	ret->oom_kills += inside.oom_kills;
	if (ret->memory_limit_bytes != UINT64_MAX && ret->memory_limit_bytes > GUEST_KERNEL_BYTES + GUEST_MACHINE_BYTES)
		ret->memory_limit_bytes -= GUEST_KERNEL_BYTES + GUEST_MACHINE_BYTES;
	if (ret->pids_limit > GUEST_MACHINE_PIDS)
		ret->pids_limit -= GUEST_MACHINE_PIDS;
	/* More there is not, whatever the host would allow. */
	if (inside.machine_bytes && inside.machine_bytes < ret->memory_limit_bytes)
		ret->memory_limit_bytes = inside.machine_bytes;
	ret->online_cpus = 1;
	return 0;
}

/* What comes for a while, appended; AGENT_OK ends it. */
static int receive_text(int fd, struct buf *ret, struct err *err)
{
	static char payload[AGENT_PAYLOAD_MAX];
	struct agent_frame f;
	for (;;) {
		int r = agent_read_frame(fd, &f, payload);
		if (r < 0)
			return r == -EAGAIN ? err_set(err, ERR_TIMEOUT, 0, "the guest did not answer in %d s", ANSWER_TIMEOUT_S) :
					      err_set(err, ERR_CONFLICT, 0, "container is not running");
		if (f.type == AGENT_ERROR) {
			agent_error_unpack(payload, f.len, err);
			return err->errnum < 0 ? err->errnum : -EIO;
		}
		if (f.type == AGENT_OK)
			return 0;
		if (f.type != AGENT_DATA || buf_append(ret, payload, f.len) < 0)
			return err_set(err, ERR_SYSTEM, 0, "the guest gave a wrong answer");
	}
}

static int ask_processes(const struct isolation_handle *handle, struct buf *ret, struct err *err)
{
	CLEANUP_FD int fd = -1;
	int r = guest_connect(handle, &fd, err);
	if (r < 0)
		return r;
	r = agent_write_frame(fd, AGENT_TOP, AGENT_SESSION_WORKLOAD, 0, 0, NULL, 0);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "ask the guest") : receive_text(fd, ret, err);
}

int guest_processes(const struct isolation_handle *handle, struct buf *ret, struct err *err)
{
	int mark = -1;
	int r = guest_wake(handle, &mark, err);
	if (r == 0)
		r = ask_processes(handle, ret, err);
	guest_sleep_again(handle, mark);
	/* It is shown to people. */
	for (size_t i = 0; r == 0 && i < ret->len; i++)
		if (((unsigned char)ret->data[i] < ' ' && ret->data[i] != '\t' && ret->data[i] != '\n') || ret->data[i] == 127)
			ret->data[i] = '?';
	return r;
}

int guest_watch_memory(const struct isolation_handle *handle, int *ret_fd, struct err *err)
{
	CLEANUP_FD int fd = -1;
	int r = guest_connect(handle, &fd, err);
	if (r < 0)
		return r;
	r = agent_write_frame(fd, AGENT_OOM, 0, 0, 0, NULL, 0);
	if (r == 0)
		r = fd_set_nonblock(fd, true);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "watch the guest's memory");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int guest_destroy(const struct isolation_handle *handle, struct err *err)
{
	CLEANUP_FD int dir = open_dir(handle);
	if (dir >= 0) {
		(void)unlinkat(dir, GUEST_SOCKET_NAME, 0);
		(void)unlinkat(dir, GUEST_STATS_NAME, 0);
	}
	guest_forget_pause(handle);
	return isolation_container.destroy(handle, err);
}
