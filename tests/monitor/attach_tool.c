/* SPDX-License-Identifier: Apache-2.0 */
/* attach_tool run|exec [tty] [JSON]: a session on descriptor 3 with our own
 * streams; exits with the code of the process, 200 when detached, 201 when lost. */
#include <stdio.h>
#include <string.h>

#include "attach_session.h"
#include "monitor_proto.h"

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct attach_result result;
	bool tty = argc > 2 && strcmp(argv[2], "tty") == 0;
	struct exec_io io;
	struct attach_opts opts = { .stdin_fd = 0, .stdout_fd = 1, .stderr_fd = 2, .tty = tty, .sig_proxy = true };
	int r = 0;
	if (strcmp(argv[1], "exec") == 0) {
		r = exec_io_open(&opts, &io, &err);
		opts.exec_io = &io;
		if (r == 0)
			r = mon_send(3, MON_EXEC, 0, 0, argv[3], strlen(argv[3]), io.passed, tty ? 0 : 3);
		exec_io_close_passed(&io);
	} else {
		r = mon_send(3, MON_ATTACH, MON_ATTACH_STDIN | MON_ATTACH_STDOUT | MON_ATTACH_STDERR | MON_ATTACH_OWNER, 0, NULL, 0, NULL, 0);
		if (r == 0)
			r = mon_send(3, MON_START, 0, 0, NULL, 0, NULL, 0);
	}
	if (r == 0)
		r = attach_session_run(3, &opts, &result, &err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 125;
	}
	return result.end == ATTACH_EXITED ? result.exit_code : result.end == ATTACH_DETACHED ? 200 : 201;
}
