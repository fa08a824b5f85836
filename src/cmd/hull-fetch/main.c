/* SPDX-License-Identifier: Apache-2.0 */
/* hull-fetch: see proto/fetch_proto.h.
 *
 * How it works: this thread reads requests and hands them to threads, each of
 * which has a libcurl handle of its own and so keeps its connection. A thread
 * blocks as it likes: on the registry, or on the pipe of a slow reader, which
 * holds the registry back. When hull closes the socket the process exits at
 * once; there is nothing to clean up that the kernel does not. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "drop.h"
#include "fd.h"
#include "json.h"
#include "worker_ops.h"

#define THREADS_MAX 16
#define SOCKET STDIN_FILENO

struct pool {
	struct session *session;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **last;
	unsigned threads, idle;
};

static struct job *take_job(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->idle++;
	while (!p->first)
		pthread_cond_wait(&p->changed, &p->lock);
	p->idle--;
	struct job *job = p->first;
	p->first = job->next;
	if (!p->first)
		p->last = &p->first;
	pthread_mutex_unlock(&p->lock);
	return job;
}

static void *work(void *ctx)
{
	struct pool *p = ctx;
	CURL *curl = curl_easy_init();
	for (;;) {
		struct job *job = take_job(p);
		struct failure f = { 0 };
		if (curl) {
			job_run(p->session, curl, job);
		} else {
			err_set(&f.err, ERR_SYSTEM, -ENOMEM, "start libcurl");
			job_failed(job, &f);
		}
		job_free(job);
	}
	return NULL;
}

static int add_job(struct pool *p, struct job *job, struct err *err)
{
	int r = 0;
	pthread_mutex_lock(&p->lock);
	*p->last = job;
	p->last = &job->next;
	size_t waiting = 0;
	for (struct job *j = p->first; j; j = j->next)
		waiting++;
	if (waiting > p->idle && p->threads < THREADS_MAX) {
		pthread_t t;
		r = -pthread_create(&t, NULL, work, p);
		if (r == 0) {
			pthread_detach(t);
			p->threads++;
		}
	}
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return r < 0 && !p->threads ? err_set(err, ERR_SYSTEM, r, "start a thread") : 0;
}

/* The next message: 1, 0 when hull is gone, or an error. */
static int next_message(char *text, ssize_t *ret_len, struct job *job, struct err *err)
{
	size_t n = 0;
	ssize_t len = fd_recv(SOCKET, text, FETCH_MESSAGE_MAX, job->fds, FETCH_FDS_MAX, &n);
	for (size_t i = n; i < FETCH_FDS_MAX; i++)
		job->fds[i] = -1;
	if (len < 0)
		return err_set(err, ERR_SYSTEM, (int)len, "read from hull");
	*ret_len = len;
	return len > 0;
}

static struct job *new_job(void)
{
	struct job *job = mem_calloc(1, sizeof(*job));
	*job = (struct job){ .fds = { -1, -1 }, .socket = SOCKET };
	return job;
}

static int start(struct session *s, char *text, struct err *err)
{
	CLEANUP_FETCH_OPEN struct fetch_open open = { 0 };
	struct job job = { .fds = { -1, -1 } };
	ssize_t len = 0;
	int r = next_message(text, &len, &job, err);
	if (r <= 0)
		return r;
	if ((r = fetch_open_parse(text, (size_t)len, &open, err)) < 0 || (r = session_init(s, &open, err)) < 0)
		return r;
	r = drop_privileges(err);
	return r < 0 ? r : 1;
}

static int serve(struct session *s, char *text, struct err *err)
{
	struct pool pool = { .session = s, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	pool.last = &pool.first;
	for (;;) {
		struct job *job = new_job();
		ssize_t len = 0;
		int r = next_message(text, &len, job, err);
		if (r > 0)
			r = fetch_request_parse(text, (size_t)len, &job->request, err);
		if (r < 0 || len == 0) {
			job_free(job);
			return r;
		}
		if ((r = add_job(&pool, job, err)) < 0)
			return r;
	}
}

static void report(const struct err *err, int r)
{
	CLEANUP_BUF struct buf out = BUF_INIT(8192);
	struct json_writer w;
	json_writer_init(&w, &out, 0);
	jw_object(&w);
	jw_kv_i64(&w, "kind", err_is_set(err) ? (int64_t)err->kind : ERR_SYSTEM);
	jw_kv_i64(&w, "errno", r);
	jw_kv_str(&w, "message", err->msg);
	jw_kv_str(&w, "why", err->why);
	jw_kv_str(&w, "hint", err->hint);
	jw_object_end(&w);
	if (json_writer_finish(&w) == 0 && buf_append_char(&out, '\n') == 0)
		(void)!fd_write_all(STDERR_FILENO, out.data, out.len);
}

int main(void)
{
	struct err err = ERR_INIT;
	/* Shared by all threads to the end, which comes by _exit(). */
	struct session *session = mem_calloc(1, sizeof(*session));
	char *text = mem_calloc(1, FETCH_MESSAGE_MAX);
	const char *proxy = getenv("HTTP_PROXY");
	signal(SIGPIPE, SIG_IGN);
	/* libcurl knows the lower-case name only; there is no CGI here to guard
	 * against. */
	if (proxy && !getenv("http_proxy"))
		setenv("http_proxy", proxy, 0);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		return 1;
	int r = start(session, text, &err);
	if (r > 0)
		r = serve(session, text, &err);
	if (r < 0)
		report(&err, r);
	_exit(r < 0 ? 1 : 0);
}
