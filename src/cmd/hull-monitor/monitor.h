/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a hull-monitor, shared by its files; nothing outside this folder
 * sees it.
 *
 *   main.c       start-up and what is given up afterwards
 *   lifecycle.c  start, exit, stop, pause, restart back-off, the run state
 *   launch.c     the short-lived process that parses config.json and clones
 *   client.c     connections: requests in, frames out
 *   output.c     the workload's output to the log and to attached clients
 *   input.c      attached clients' input to the workload
 *   exec.c       exec sessions
 *   names.c      the workload's sockets for names, and who answers there
 *   proxy.c      published ports that the kernel cannot redirect
 *   memory.c     kills for want of memory
 *   health.c     health checks
 *   log_*.c      log drivers
 *
 * Everything is static or on the stack: pools are pages that nobody touches
 * until they are used, so an idle monitor stays small. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "isolation.h"
#include "log_sink.h"
#include "event_loop.h"
#include "monitor_conf.h"
#include "monitor_proto.h"
#include "run_state.h"

#define CLIENTS_MAX 128
#define EXECS_MAX 64
#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define EXEC_ID_MAX 72
/* Where hull's conversation is when it spawns a monitor. */
#define HULL_SOCKET 3

struct monitor;
struct exec_session;

/* A launcher that was forked before anybody asked for it. */
struct spare_launcher {
	int sock; /* -1: none */
	pid_t pid;
};

struct client {
	struct loop_source source; /* fd -1: free */
	struct monitor *m;
	uint32_t attach;    /* MON_ATTACH_x of an attached one */
	bool is_attached;
	bool wants_exit;    /* WAIT, STOP or ATTACH: to be told EXIT */
	bool wants_started; /* sent START, or EXEC, not answered yet */
	bool has_exit_due;  /* EXIT did not fit in the socket yet */
	bool has_chunk;     /* the output in hand has been sent to it */
	bool waits_to_write; /* its STDIN waits for the workload to read */
	struct exec_session *exec;
	struct spare_launcher spare; /* for the exec that it has announced */
};

struct launch {
	struct loop_source source; /* socket to the launcher; fd -1: none */
	pid_t pid;
};

struct exec_session {
	bool in_use;
	bool is_health;
	struct monitor *m;
	struct client *client; /* NULL: gone */
	struct launch launch;
	struct loop_source exit;   /* pidfd */
	struct loop_source output; /* health: pipe; others: the pty once the client is gone */
	pid_t pid;
	int pty;
	char id[EXEC_ID_MAX];
};

struct stream {
	struct loop_source source;
	struct monitor *m;
	int which; /* 1, 2 */
	size_t read_size;
};

struct output {
	struct stream stream[2]; /* stdout (or the pty), stderr */
	/* The chunk in hand: read, not yet taken by the log and every client. */
	size_t chunk_len, chunk_logged;
	int chunk_stream;
	struct loop_timer retry; /* the log, and clients that take nothing */
	int64_t held_since_ns;
};

struct input {
	struct loop_source source; /* the workload's stdin, or a copy of the pty */
	size_t len, done;
	bool is_pty, eof_after;
	bool is_ready; /* has been opened, and may be closed again */
};

struct health {
	struct loop_timer probe, deadline;
	struct exec_session *running;
	int64_t probe_start_ns;
	size_t output_len;
	bool has_timed_out;
};

struct names {
	int socks[2];              /* UDP, TCP; -1: none */
	struct loop_source server; /* the conversation with it; fd -1: none */
	struct loop_timer retry;
	int64_t delay_ns; /* until the next try */
	pid_t starting;   /* a server on its way; 0: none */
};

struct proxy {
	struct proxied *ports;
	uint32_t last_key;
	struct loop_source server; /* the conversation with hull-proxy; fd -1: it is not there */
	pid_t pid;
	struct loop_timer retry;
	int64_t delay_ns; /* until the next try, after one that failed */
	uint64_t old_nofile; /* 0: the limit of open files was not changed */
};

struct monitor {
	struct loop loop;
	struct monitor_conf *conf;
	const struct isolation *isolation;
	struct isolation_handle handle;
	int run_dirfd;   /* $HULL_RUN */
	int dirfd;       /* $HULL_RUN/workloads/<id> */
	int state_dirfd; /* $HULL_ROOT/workloads/<id> */
	int lock_fd;
	struct run_state state;
	struct loop_source listener, signals, exit;
	struct launch launch;
	struct spare_launcher spare;
	int hold_fd; /* isolation_fds.hold */
	struct client client[CLIENTS_MAX];
	struct exec_session exec[EXECS_MAX];
	struct output output;
	struct input input;
	struct log_sink log;
	struct health health;
	struct names names;
	struct proxy proxy;
	struct loop_timer stop_timer, restart_timer, linger, trim, memory_timer;
	struct loop_source memory; /* fd -1: not watched (yet) */
	uint64_t oom_kills;        /* told so far */
	int pty;
	uint32_t rows, cols; /* asked for before the terminal existed */
	bool was_started, is_draining, has_late_init;
	bool restart_wanted, restart_refused; /* by a health action */
	bool had_owner; /* there is one, and the bookkeeping is its */
	bool is_finished, has_told_loss;
	int old_oom_score_adj;
	bool has_oom_score; /* it has been changed */
};

/* main.c */
void monitor_late_init(struct monitor *m);
/* Something that touched memory is over: give it back, once it stays quiet. */
void monitor_trim_soon(struct monitor *m);

/* lifecycle.c */
void lifecycle_start(struct monitor *m, struct client *client);
void lifecycle_stop(struct monitor *m, uint32_t timeout_s, uint32_t signo, bool by_user);
int lifecycle_signal(struct monitor *m, int signo, bool all, struct err *err) MUST_CHECK;
int lifecycle_pause(struct monitor *m, bool pause, struct err *err) MUST_CHECK;
void lifecycle_output_drained(struct monitor *m);
void lifecycle_client_gone(struct monitor *m);
/* The OWNER went away before it was told the exit. */
void lifecycle_owner_lost(struct monitor *m);
void lifecycle_save(struct monitor *m);
static inline bool lifecycle_is_up(const struct monitor *m)
{
	return m->exit.fd >= 0;
}

/* launch.c. Fork a launcher ahead, for the start; with @makes_ahead it makes namespaces
 * of the container level, too. */
void launch_prepare(struct monitor *m, bool makes_ahead);
/* The description is there, in m->state_dirfd. */
void launch_expect(struct monitor *m);
/* The answer comes through launch->source; fill source.ready first. */
struct launch_request {
	const char *process_json; /* exec: the process; NULL with argv */
	size_t process_len;
	const struct strv *argv;  /* health check: the workload's process with these */
	int stdio[3];
	struct isolation_ahead *ahead; /* NULL: nothing was made ahead */
	struct runtime_spec *spec;     /* has been read already; taken; or NULL */
	struct spare_launcher *spare;  /* for an exec; used up; NULL: none */
};
struct launch_result {
	int r;
	pid_t pid;
	pid_t helper; /* one more child to reap, which made namespaces ahead; 0: none */
	struct isolation_handle handle;
	bool has_hold, has_pty, has_names; /* with the pidfd, in this order */
	struct err err;
};
int launch_start(struct monitor *m, struct launch *launch, const struct launch_request *request, bool is_exec,
		 struct err *err) MUST_CHECK;
/* Fork a launcher that is going to be wanted for an exec; and one that was not. */
void launch_expect_exec(struct monitor *m, struct spare_launcher *ret);
void launch_drop(struct spare_launcher *spare);
/* Reads the answer, reaps the launcher, closes the socket. Negative: see
 * result->err. */
int launch_finish(struct monitor *m, struct launch *launch, struct launch_result *result, struct isolation_fds *ret) MUST_CHECK;
/* waitid() on a pidfd: the exit code as Docker counts; -1 when it cannot be told. */
int launch_reap(int pidfd, bool *ret_was_killed);

/* client.c */
struct client *client_add(struct monitor *m, int fd);
void client_ready(void *ctx, uint32_t events);
void client_close(struct client *c);
void client_listen(struct monitor *m);
/* Tell EXIT to everybody who wants it. */
void client_tell_exit(struct monitor *m, uint32_t code, uint32_t flags);
/* Tell the owner that nothing is left of the run. */
void client_tell_removed(struct monitor *m);
/* Send or drop the client; never blocks. */
void client_send(struct client *c, uint32_t type, uint32_t arg, uint32_t arg2, const void *payload, size_t len);
void client_send_error(struct client *c, const struct err *err);
bool client_has_exit_due(const struct monitor *m);
void client_close_all(struct monitor *m);
void client_update_events(struct client *c);

/* output.c */
int output_add(struct monitor *m, int which, int fd) MUST_CHECK;
void output_go(struct monitor *m); /* STARTED has been told: output may follow */
void output_client_writable(struct monitor *m, struct client *c);
void output_client_gone(struct monitor *m);
/* The workload is dead: take what is left; calls lifecycle_output_drained(). */
void output_drain(struct monitor *m);

/* input.c */
int input_add(struct monitor *m, int fd, bool is_pty) MUST_CHECK;
bool input_is_busy(const struct monitor *m);
char *input_buffer(void); /* MON_PAYLOAD_MAX; also the buffer of any request */
void input_write(struct monitor *m, size_t len);
void input_eof(struct monitor *m);
void input_client_gone(struct monitor *m, const struct client *c);
void input_close(struct monitor *m);

/* exec.c */
void exec_start(struct monitor *m, struct client *c, const char *payload, size_t len, int fds[3], size_t fds_n);
struct exec_session *exec_start_health(struct monitor *m, struct err *err);
void exec_client_gone(struct exec_session *e);
int exec_signal(struct exec_session *e, int signo, struct err *err) MUST_CHECK;
void exec_resize(struct exec_session *e, uint32_t rows, uint32_t cols);
void exec_kill(struct exec_session *e);
void exec_workload_gone(struct monitor *m);

/* names.c. Takes the two sockets. */
void names_begin(struct monitor *m, int socks[2]);
void names_end(struct monitor *m);

/* proxy.c. Serve what monitor.conf says. */
int proxy_begin(struct monitor *m, struct err *err) MUST_CHECK;
/* MON_PROXY; changes @lines. */
int proxy_change(struct monitor *m, char *lines, struct err *err) MUST_CHECK;
/* When it returns the ports are free. */
void proxy_end(struct monitor *m);

/* memory.c */
void memory_watch(struct monitor *m); /* idempotent */
void memory_look(struct monitor *m);  /* Tell of kills since the last look. */
void memory_unwatch(struct monitor *m);

/* health.c */
void health_started(struct monitor *m);
void health_stopped(struct monitor *m);
void health_probe_done(struct monitor *m, int exit_code, bool did_start, const struct err *err);
void health_output(struct monitor *m, const char *data, size_t len);
void monitor_event(struct monitor *m, const char *action, const char *attr1, const char *attr2);
