/* SPDX-License-Identifier: Apache-2.0 */
/* exec, and attach. */
#include <stdio.h>
#include <string.h>

#include "attach_session.h"
#include "cli.h"
#include "clock.h"
#include "containers.h"
#include "detach_keys.h"
#include "event_log.h"
#include "flag_parse.h"
#include "monitor_proto.h"

struct exec_opts {
	bool detach, interactive, tty, privileged, no_stdin;
	const char *user, *workdir, *detach_keys;
	struct strv env, env_file;
	enum tri sig_proxy;
};

/* The events are noted in the monitors' file: no transaction on the way to the
 * process. */
static void note(struct engine *engine, const struct container *c, const char *what, const char *command, const char *exec_id)
{
	CLEANUP_FREE char *action = str_printf("%s: %s", what, command), *id = str_printf("execID=%s", exec_id);
	struct event event = { .wall_ns = clock_wall_ns(), .type = "container", .action = action, .id = c->id, .attrs = { id }, .attrs_n = 1 };
	if (event_log_append(engine->run_fd, &event) < 0)
		return; /* lost, as it would be on a full disk */
}

static int exec_send(struct engine *engine, const struct container *c, int sock, const struct buf *process, char **words,
		     const int *passed)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MON_PAYLOAD_MAX);
	CLEANUP_STRV struct strv args = { 0 };
	char exec_id[ID_SIZE];
	for (; *words; words++)
		strv_add(&args, *words);
	CLEANUP_FREE char *command = strv_join(&args, " ");
	id_generate(exec_id);
	int r = buf_printf(&text, "%s\n", exec_id);
	if (r == 0)
		r = buf_append(&text, process->data, process->len);
	if (r < 0)
		return r;
	note(engine, c, "exec_create", command, exec_id);
	note(engine, c, "exec_start", command, exec_id);
	return mon_send(sock, MON_EXEC, 0, 0, text.data, text.len, passed, passed ? 3 : 0);
}

/* Detached: it runs, or why not. */
static int await_started(int sock, struct err *err)
{
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	struct mon_msg msg = { 0 };
	int fd = -1;
	size_t n = 0;
	int r = mon_recv(sock, &msg, payload, &fd, 1, &n);
	if (n)
		close(fd);
	if (r <= 0)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : EPIPE, "reach the monitor");
	if (msg.type != MON_ERROR || msg.len != sizeof(*err))
		return 0;
	memcpy(err, payload, sizeof(*err));
	return err->errnum < 0 ? err->errnum : -EIO;
}

/* The monitor gets ready while we look up what the process is to be. What stands in the
 * way is found, and told, afterwards. */
static int announce(struct engine *engine, struct container *c)
{
	struct err ignored = ERR_INIT;
	CLEANUP_FD int sock = -1;
	if (c->status != CONTAINER_RUNNING || containers_connect(engine, c, &sock, &ignored) < 0 ||
	    mon_send(sock, MON_EXEC_SOON, 0, 0, NULL, 0, NULL, 0) < 0)
		return -1;
	return TAKE_FD(sock);
}

static int run_exec(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct exec_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(MON_PAYLOAD_MAX);
	CLEANUP_FD int sock = -1;
	struct exec_request request = { .user = o->user, .workdir = o->workdir, .tty = o->tty, .privileged = o->privileged };
	int r = flag_env(&request.env, &o->env_file, &o->env, &err);
	for (int i = 1; i < argc; i++)
		strv_add(&request.args, argv[i]);
	struct attach_opts attach = { .stdin_fd = o->interactive && !o->detach ? 0 : -1, .stdout_fd = o->detach ? -1 : 1,
				      .stderr_fd = o->detach ? -1 : 2, .tty = o->tty, .detach_keys = o->detach_keys,
				      .no_stdin = !o->interactive };
	struct exec_io io;
	struct attach_result end = { 0 };
	if (r == 0 && attach_check_terminal(o->tty, attach.stdin_fd >= 0, &err) < 0)
		return cli_fail_client(cli, &err);
	if (r == 0)
		r = detach_keys_check(o->detach_keys, &err);
	if (r == 0)
		r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, argv[0], &c, &err);
	if (r == 0)
		sock = announce(engine, c);
	if (r == 0)
		r = containers_exec_json(engine, c, &request, &text, &err);
	strv_free(&request.args);
	strv_free(&request.env);
	if (r == 0 && sock < 0)
		r = containers_connect(engine, c, &sock, &err);
	if (r == 0)
		r = exec_io_open(&attach, &io, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	attach.exec_io = &io;
	r = exec_send(engine, c, sock, &text, argv + 1, o->tty ? NULL : io.passed);
	exec_io_close_passed(&io);
	if (r < 0)
		err_set(&err, ERR_SYSTEM, r, "reach the monitor");
	else
		r = o->detach ? await_started(sock, &err) : attach_session_run(sock, &attach, &end, &err);
	exec_io_done(&io);
	if (r < 0) {
		int code = containers_start_exit_code(&err);
		cli_fail(cli, &err);
		return code == 125 ? 1 : code;
	}
	return end.exit_code;
}

static int run_attach(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct exec_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	struct attach_result end = { 0 };
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, argv[0], &c, &err);
	if (r == 0)
		r = container_load_config(c, &err);
	if (r == 0 && c->status == CONTAINER_PAUSED)
		r = err_set(&err, ERR_CONFLICT, 0, "cannot attach to a paused container, unpause it first");
	else if (r == 0 && !container_is_running(c))
		r = err_set(&err, ERR_CONFLICT, 0, "cannot attach to a stopped container, start it first");
	bool with_stdin = r == 0 && c->config->open_stdin && !o->no_stdin;
	if (r == 0 && attach_check_terminal(c->config->tty, with_stdin, &err) < 0)
		return cli_fail_client(cli, &err);
	if (r == 0)
		r = detach_keys_check(o->detach_keys, &err);
	if (r == 0)
		r = containers_connect(engine, c, &sock, &err);
	if (r)
		return cli_fail(cli, &err);
	struct attach_opts attach = { .stdin_fd = with_stdin ? 0 : -1, .stdout_fd = 1, .stderr_fd = 2, .tty = c->config->tty,
				      .sig_proxy = o->sig_proxy != TRI_FALSE, .detach_keys = o->detach_keys, .no_stdin = !with_stdin };
	r = mon_send(sock, MON_ATTACH, MON_ATTACH_STDOUT | MON_ATTACH_STDERR | (with_stdin ? MON_ATTACH_STDIN : 0), 0, NULL, 0, NULL, 0);
	if (r == 0)
		r = attach_session_run(sock, &attach, &end, &err);
	return r < 0 ? cli_fail(cli, &err) : end.exit_code;
}

#define OPT(n, l, t, f, h) { n, l, t, offsetof(struct exec_opts, f), .help = h }
static const struct option exec_options[] = {
	OPT("detach", 'd', OPT_BOOL, detach, "Run the command in the background"),
	OPT("detach-keys", 0, OPT_STR, detach_keys, "Override the key sequence for detaching"),
	OPT("env", 'e', OPT_LIST, env, "Set environment variables"),
	{ "env-file", 0, OPT_LIST, offsetof(struct exec_opts, env_file), .help = "Read in a file of environment variables",
	  .complete = COMPLETE_FILE },
	OPT("interactive", 'i', OPT_BOOL, interactive, "Keep STDIN open"),
	OPT("privileged", 0, OPT_BOOL, privileged, "Give extended privileges to the command"),
	OPT("tty", 't', OPT_BOOL, tty, "Give the command a terminal"),
	OPT("user", 'u', OPT_STR, user, "Username or UID (format: name|uid[:group|gid])"),
	OPT("workdir", 'w', OPT_STR, workdir, "Working directory inside the container"),
	OPTIONS_END
};
static const struct option attach_options[] = {
	OPT("detach-keys", 0, OPT_STR, detach_keys, "Override the key sequence for detaching"),
	OPT("no-stdin", 0, OPT_BOOL, no_stdin, "Do not attach STDIN"),
	OPT("sig-proxy", 0, OPT_TRI, sig_proxy, "Send signals on to the process"),
	OPTIONS_END
};
const struct verb verb_exec = {
	.names = { "exec", "container exec" }, .args = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.brief = "Execute a command in a running container", .options = exec_options, .opts_size = sizeof(struct exec_opts),
	.min_args = 2, .max_args = -1, .stop_at_first = true, .is_docker = true, .complete = COMPLETE_CONTAINER_RUNNING, .run = run_exec,
};
const struct verb verb_attach = {
	.names = { "attach", "container attach" }, .args = "[OPTIONS] CONTAINER",
	.brief = "Attach to a running container", .options = attach_options, .opts_size = sizeof(struct exec_opts),
	.min_args = 1, .max_args = 1, .is_docker = true, .complete = COMPLETE_CONTAINER_RUNNING, .run = run_attach,
};
