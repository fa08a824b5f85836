/* SPDX-License-Identifier: Apache-2.0 */
/* hull-guest: see guest_args.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "fd.h"
#include "guest_args.h"
#include "str.h"
#include "supervise.h"

#define EXIT_USAGE 125

static int report = GUEST_FD_REPORT;

static void tell(const struct err *err)
{
	struct guest_report r = { .kind = err ? GUEST_FAILED : GUEST_STARTED };
	if (err)
		r.err = *err;
	if (report >= 0)
		(void)!fd_send(report, &r, sizeof(r), NULL, 0);
	cleanup_fd(&report);
}

static void relay_link_frame(struct agent_link *link, const struct agent_frame *f, const char *payload)
{
	struct err err = ERR_INIT;
	if (relay_frame(link->ctx, f, payload) < 0) {
		(void)err_set(&err, ERR_SYSTEM, 0, "the guest broke the rules of its agent");
		tell(&err);
		_exit(EXIT_USAGE);
	}
	if (f->type == AGENT_STARTED)
		tell(NULL);
}

/* The workload has ended, and all that runs beside it. */
static void relay_link_gone(struct agent_link *link, int error)
{
	struct err err = ERR_INIT;
	(void)err_set(&err, ERR_CONFLICT, 0, "container is not running");
	tell(&err);
	_exit(137);
}

static void relay_ended(struct relay *r, int code)
{
	_exit(code);
}

static void relay_failed(struct relay *r, const struct err *err)
{
	tell(err);
	_exit(EXIT_USAGE);
}

static int run_relay(struct relay *r)
{
	static struct agent_link link;
	static char payload[AGENT_PAYLOAD_MAX];
	struct loop loop;
	struct agent_frame f;
	link.frame = relay_link_frame;
	link.gone = relay_link_gone;
	link.ctx = r;
	r->link = &link;
	r->session = AGENT_SESSION_WORKLOAD;
	r->is_shared = true;
	r->ended = relay_ended;
	r->failed = relay_failed;
	int status = loop_init(&loop);
	if (status == 0)
		status = relay_open(r, &loop);
	if (status == 0)
		status = agent_link_open(&link, &loop, GUEST_FD_AGENT);
	while (status == 0 && agent_read_frame(GUEST_FD_REQUEST, &f, payload) == 0)
		agent_link_send(&link, f.type, f.session, f.stream, f.arg, payload, f.len);
	close(GUEST_FD_REQUEST);
	/* It ends the program, unless it cannot go on. */
	if (status == 0)
		(void)!loop_run(&loop);
	return EXIT_USAGE;
}

static bool is_given(const char *mode)
{
	struct stat st;
	int last = str_eq(mode, "relay") ? GUEST_FD_REQUEST : GUEST_FD_END - 1;
	for (int fd = GUEST_FD_REPORT; fd <= last; fd++)
		if (fstat(fd, &st) < 0)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct relay r = { 0 };
	struct err err = ERR_INIT;
	uint64_t uid = 0, gid = 0;
	if (argc != 5 || (!str_eq(argv[1], "supervise") && !str_eq(argv[1], "relay")) || str_parse_u64(argv[2], &uid) < 0 ||
	    str_parse_u64(argv[3], &gid) < 0 || uid > UINT32_MAX || gid > UINT32_MAX || !is_given(argv[1])) {
		static const char usage[] = "hull-guest is started by hull for a workload with a kernel of its own\n";
		(void)!write(2, usage, sizeof(usage) - 1);
		return EXIT_USAGE;
	}
	bool is_relay = str_eq(argv[1], "relay");
	fd_close_from(is_relay ? GUEST_FD_REQUEST + 1 : GUEST_FD_END);
	for (int fd = GUEST_FD_REPORT; fd < GUEST_FD_END; fd++)
		(void)!fd_set_cloexec(fd, true);
	r.is_terminal = str_eq(argv[4], "1");
	r.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (r.null < 0 || confine((uid_t)uid, (gid_t)gid, is_relay, &err) < 0) {
		if (!err_is_set(&err))
			(void)err_set(&err, ERR_SYSTEM, -errno, "open /dev/null");
		tell(&err);
		return EXIT_USAGE;
	}
	if (is_relay)
		return run_relay(&r);
	supervise(&r);
}
