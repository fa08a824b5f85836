/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_ops.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "fd.h"
#include "random.h"

#define REPORT_MS 100
#define FIRST_DELAY_MS 200
#define DELAY_MAX_MS 8000
/* A registry that wants more patience than this gets an error instead. */
#define RETRY_AFTER_MAX_MS 60000
/* However much each of them brings. */
#define ATTEMPTS_MAX 100

void job_free(struct job *job)
{
	if (!job)
		return;
	fetch_request_done(&job->request);
	for (size_t i = 0; i < FETCH_FDS_MAX; i++)
		cleanup_fd(&job->fds[i]);
	free(job);
}

static void send_event(struct job *job, struct fetch_event *event)
{
	CLEANUP_BUF struct buf out = BUF_INIT(FETCH_MESSAGE_MAX);
	event->id = job->request.id;
	if (fetch_event_write(event, &out) < 0)
		return;
	/* hull gone: the main thread sees it as well, and ends the program. */
	(void)!fd_send(job->socket, out.data, out.len, NULL, 0);
}

void job_progress(struct job *job, int64_t bytes)
{
	int64_t now = clock_mono_ms();
	if (now - job->reported_ms < REPORT_MS)
		return;
	job->reported_ms = now;
	send_event(job, &(struct fetch_event){ .kind = FETCH_PROGRESS, .bytes = bytes });
}

void job_retry(struct job *job, const struct failure *f, int64_t delay_ms)
{
	send_event(job, &(struct fetch_event){ .kind = FETCH_RETRY, .err = f->err, .status = f->status, .delay_ms = delay_ms });
}

void job_done(struct job *job, const struct fetch_event *event)
{
	struct fetch_event e = *event;
	e.kind = FETCH_DONE;
	send_event(job, &e);
}

void job_failed(struct job *job, const struct failure *f)
{
	struct fetch_event e = { .kind = FETCH_FAILED, .err = f->err, .status = f->status, .is_unread = f->is_ours };
	if (!err_is_set(&e.err))
		err_set(&e.err, ERR_SYSTEM, 0, "the registry failed");
	if (e.err.errnum > 0)
		e.err.errnum = 0;
	send_event(job, &e);
}

/* ---- trying again ---- */

static void pause_ms(int64_t ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static int64_t delay_of(unsigned attempt, const struct failure *f)
{
	uint16_t noise;
	random_bytes(&noise, sizeof(noise));
	int64_t d = FIRST_DELAY_MS << (attempt < 6 ? attempt : 6);
	d = d < DELAY_MAX_MS ? d : DELAY_MAX_MS;
	/* Many hulls that were cut off together do not come back together. */
	d = d * 3 / 4 + d / 2 * noise / 65536;
	return f->retry_after_ms > d ? f->retry_after_ms : d;
}

static int try_endpoint(struct session *s, struct job *job, const struct attempts *a, struct endpoint *e,
			unsigned *total, struct failure *f)
{
	unsigned tries = e->is_mirror ? 2 : (unsigned)s->tries, failed = 0;
	for (;;) {
		int64_t before = a->progress ? *a->progress : 0;
		*f = (struct failure){ 0 };
		int r = a->attempt(a->ctx, e, f);
		if (r == 0)
			return 0;
		if (!f->is_transient || f->is_ours || f->retry_after_ms > RETRY_AFTER_MAX_MS || ++*total >= ATTEMPTS_MAX)
			return r;
		/* Getting somewhere is no reason to give up. */
		failed = a->progress && *a->progress > before ? 1 : failed + 1;
		if (failed >= tries)
			return r;
		int64_t delay = delay_of(failed - 1, f);
		job_retry(job, f, delay);
		pause_ms(delay);
	}
}

int attempts_run(struct session *s, struct job *job, const struct attempts *a, struct failure *f)
{
	unsigned total = 0;
	int r = -EIO;
	for (size_t i = a->is_origin_only ? s->endpoints_n - 1 : 0; i < s->endpoints_n; i++) {
		r = try_endpoint(s, job, a, &s->endpoints[i], &total, f);
		if (r == 0 || f->is_ours)
			return r;
	}
	return r;
}

/* ---- dispatch ---- */

char *op_scope(const struct job *job)
{
	const struct fetch_request *q = &job->request;
	CLEANUP_FREE char *own = str_printf("repository:%s:pull%s", q->repository, q->wants_push ? ",push" : "");
	return q->mount_from ? str_printf("%s repository:%s:pull", own, q->mount_from) : str_dup(own);
}

static bool is_plain(const char *s, const char *extra)
{
	for (; s && *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || strchr(extra, *s)))
			return false;
	return true;
}

/* Names go into addresses as they are. */
static bool is_safe(const struct fetch_request *q)
{
	return is_plain(q->repository, "._-/") && is_plain(q->mount_from, "._-/") && is_plain(q->reference, "._-:") &&
	       is_plain(q->digest, ":") && !(q->repository && strstr(q->repository, ".."));
}

void job_run(struct session *s, CURL *curl, struct job *job)
{
	static int (*const ops[])(struct session *, CURL *, struct job *, struct fetch_event *, struct failure *) = {
		[FETCH_CHECK] = op_check,	      [FETCH_MANIFEST] = op_manifest,
		[FETCH_BLOB] = op_blob,		      [FETCH_PUSH_BLOB] = op_push_blob,
		[FETCH_PUSH_MANIFEST] = op_push_manifest, [FETCH_TAGS] = op_tags,
	};
	static_assert(ARRAY_LEN(ops) == FETCH_OP_COUNT, "a function for each operation");
	struct fetch_event event = { 0 };
	struct failure f = { 0 };
	int r;
	if (!is_safe(&job->request))
		r = err_set(&f.err, ERR_INVALID, 0, "a request with a name that is none");
	else
		r = ops[job->request.op](s, curl, job, &event, &f);
	/* Whoever reads what was written must see its end before "done". */
	for (size_t i = 0; i < FETCH_FDS_MAX; i++)
		cleanup_fd(&job->fds[i]);
	if (r == 0)
		job_done(job, &event);
	else
		job_failed(job, &f);
	fetch_event_done(&event);
}
