/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one poll() loop. Each running job has a pipe to its worker and
 * one with the result from it. A turn moves one chunk: read the source, write
 * to the worker, and for a plain tar through zstd into the blob. The worker's
 * pipe is non-blocking; a chunk waits in the job's buffer until it is taken. A
 * job is over when the worker closes its result pipe. */
#include "convert.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_expand.h"
#include "blob_writer.h"
#include "erofs_mount.h"
#include "fault.h"
#include "fd.h"
#include "json.h"
#include "partial.h"
#include "unpack_proto.h"
#include "worker.h"

#define CHUNK (256 * 1024)
#define REPORT_MAX 8192
#define SLOTS_MAX 16

struct convert {
	struct convert_job *job;
	pid_t pid;
	int to_worker; /* -1: the feed is over, or not ours */
	int result, errors;
	int expanded; /* what was inside an xz, from where the feed goes on */
	struct blob_writer *recompress; /* NULL: the worker keeps the bytes as they are */
	char *chunk;
	size_t chunk_len, chunk_done;
	int64_t done;
};

void convert_cancel(struct convert *c)
{
	if (!c)
		return;
	cleanup_fd(&c->to_worker);
	cleanup_fd(&c->result);
	cleanup_fd(&c->errors);
	cleanup_fd(&c->expanded);
	if (c->pid > 0)
		worker_wait(c->pid);
	blob_writer_free(c->recompress);
	free(c->chunk);
	free(c);
}

static void cleanup_convert(struct convert **c)
{
	convert_cancel(*c);
}

/* The output file (or directory) in the ingest directory. */
static int make_output(const struct ingest *ingest, char *name, size_t size, size_t index, bool is_dir, struct err *err)
{
	int fd = -1;
	snprintf(name, size, "%zu.%s", index, is_dir ? "dir" : "erofs");
	if (!is_dir)
		fd = openat(ingest->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	else if (mkdirat(ingest->dir_fd, name, 0755) == 0)
		fd = openat(ingest->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_SYSTEM, -errno, "make %s", name) : fd;
}

/* Read the next chunk: 1, 0 at the end, or an error. */
static int refill(struct convert *c, struct err *err)
{
	struct convert_job *job = c->job;
	size_t want = CHUNK;
	ssize_t n;
	bool is_file = job->offset >= 0;
	if (is_file && job->len - c->done < (int64_t)want)
		want = (size_t)(job->len - c->done);
	do
		n = is_file ? pread(job->fd, c->chunk, want, job->offset + c->done) : read(job->fd, c->chunk, want);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, ERR_SYSTEM, -errno, "read a layer");
	if (n == 0 && is_file && c->done < job->len)
		return err_set(err, ERR_INVALID, 0, "a layer is cut short: %lld of %lld bytes", (long long)c->done,
			       (long long)job->len);
	c->chunk_len = (size_t)n;
	c->chunk_done = 0;
	c->done += n;
	if (n > 0 && c->recompress) {
		int r = blob_writer_write(c->recompress, c->chunk, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return n > 0;
}

static const char *compressed_media(const char *data, size_t len)
{
	if (len >= 2 && memcmp(data, "\x1f\x8b", 2) == 0)
		return MEDIA_LAYER_GZIP;
	if (len >= 4 && memcmp(data, "\x28\xb5\x2f\xfd", 4) == 0)
		return MEDIA_LAYER_ZSTD;
	return NULL;
}

/* An import may be an xz, which no registry takes as a layer: its tar is what
 * counts. */
static int expand_xz(const struct ingest *ingest, struct convert *c, struct err *err)
{
	struct convert_job *job = c->job;
	int64_t bytes = 0;
	if (job->digest || job->offset >= 0)
		return err_set(err, ERR_UNSUPPORTED, 0, "a layer is compressed with xz, which no image format allows");
	c->expanded = archive_expand(ingest, "expanded", c->chunk, c->chunk_len, job->fd, &bytes, err);
	if (c->expanded < 0)
		return err_context(err, c->expanded, "decompress the archive");
	/* Its name has to be gone before the next job's. */
	(void)!unlinkat(ingest->dir_fd, "expanded", 0);
	job->fd = c->expanded;
	job->offset = c->done = 0;
	job->len = bytes;
	int r = refill(c, err);
	return r < 0 ? r : 0;
}

/* The first chunk of what hull feeds itself tells whether it is compressed. */
static int look_at_start(const struct ingest *ingest, struct convert *c, struct err *err)
{
	c->chunk = malloc(CHUNK);
	if (!c->chunk)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "convert a layer");
	int r = refill(c, err);
	if (r >= 0 && archive_is_xz(c->chunk, c->chunk_len))
		r = expand_xz(ingest, c, err);
	if (r < 0)
		return r;
	const char *media = compressed_media(c->chunk, c->chunk_len);
	if (media) {
		snprintf(c->job->out.media_type, sizeof(c->job->out.media_type), "%s",
			 c->job->media_type ? c->job->media_type : media);
		return 0;
	}
	snprintf(c->job->out.media_type, sizeof(c->job->out.media_type), "%s", MEDIA_LAYER_ZSTD);
	r = blob_writer_new(ingest->dir_fd, c->job->out.blob_file, &c->recompress, err);
	return r < 0 ? r : blob_writer_write(c->recompress, c->chunk, c->chunk_len, err);
}

static pid_t spawn(const struct convert_job *job, bool is_dir, int in, int result, int errors, int out,
		   int tee, struct err *err)
{
	char size[24];
	const char *argv[16];
	size_t n = 0;
	argv[n++] = UNPACK_PROGRAM;
	if (is_dir)
		argv[n++] = "--dir";
	if (tee >= 0)
		argv[n++] = "--tee";
	if (job->digest) {
		argv[n++] = "--digest";
		argv[n++] = job->digest;
	}
	if (job->diffid) {
		argv[n++] = "--diffid";
		argv[n++] = job->diffid;
	}
	if (job->len >= 0) {
		snprintf(size, sizeof(size), "%lld", (long long)job->len);
		argv[n++] = "--size";
		argv[n++] = size;
	}
	argv[n] = NULL;
	const int fds[] = { in, result, errors, out, tee };
	return worker_spawn(argv, fds, tee >= 0 ? 5 : 4, true, err);
}

int convert_start(const struct ingest *ingest, struct convert_job *job, size_t index, struct convert **ret,
		  struct err *err)
{
	CLEANUP(cleanup_convert) struct convert *c = mem_calloc(1, sizeof(*c));
	*c = (struct convert){ .job = job, .to_worker = -1, .result = -1, .errors = -1, .expanded = -1 };
	CLEANUP_FD int tee = -1;
	CLEANUP_FD int in = -1;
	CLEANUP_FD int result = -1;
	CLEANUP_FD int errors = -1;
	bool is_dir = !erofs_is_supported();
	struct layer_new *o = &job->out;
	int pipes[2], r;
	CLEANUP_FD int out = make_output(ingest, o->file, sizeof(o->file), index, is_dir, err);
	if (out < 0)
		return out;
	/* A worker that dies must not take hull along when hull writes to it. */
	signal(SIGPIPE, SIG_IGN);
	if (job->is_resumable)
		partial_blob_name(job->digest, o->blob_file, sizeof(o->blob_file));
	else
		snprintf(o->blob_file, sizeof(o->blob_file), "%zu.blob", index);
	if (job->is_direct)
		snprintf(o->media_type, sizeof(o->media_type), "%s", job->media_type);
	else if ((r = look_at_start(ingest, c, err)) < 0)
		return r;
	if (!c->recompress) {
		tee = openat(ingest->dir_fd, o->blob_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (tee < 0)
			return err_set(err, ERR_SYSTEM, -errno, "make %s", o->blob_file);
	}
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	c->result = pipes[0];
	result = pipes[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	c->errors = pipes[0];
	errors = pipes[1];
	if (!job->is_direct) {
		if (pipe2(pipes, O_CLOEXEC) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
		in = pipes[0];
		c->to_worker = pipes[1];
		/* A big pipe saves turns; being refused one is no error. */
		(void)!fcntl(c->to_worker, F_SETPIPE_SZ, 1 << 20);
		if ((r = fd_set_nonblock(c->to_worker, true)) < 0)
			return err_set(err, ERR_SYSTEM, r, "make a pipe");
	}
	c->pid = spawn(job, is_dir, job->is_direct ? job->fd : in, result, errors, out, tee, err);
	if (c->pid < 0)
		return c->pid;
	FAULT_HERE("convert.started");
	*ret = TAKE_PTR(c);
	return 0;
}

int convert_result_fd(const struct convert *c)
{
	return c->result;
}

/* One turn. Ends the feed when the source is done or the worker wants no more. */
static int feed(struct convert *c, struct err *err)
{
	if (c->chunk_done == c->chunk_len) {
		int r = refill(c, err);
		if (r <= 0) {
			cleanup_fd(&c->to_worker);
			return r;
		}
	}
	ssize_t n = write(c->to_worker, c->chunk + c->chunk_done, c->chunk_len - c->chunk_done);
	if (n >= 0)
		c->chunk_done += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		/* EPIPE: the worker has failed, and says why. */
		cleanup_fd(&c->to_worker);
	return 0;
}

static int read_result(struct convert *c, const char *text, size_t len, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	struct layer_new *out = &c->job->out;
	int r = json_parse(text, len, UNPACK_PROGRAM, &root, err);
	if (r < 0)
		return r;
	const char *digest = json_get_str_or(root, "digest", ""), *diffid = json_get_str_or(root, "diffid", "");
	if (strlen(diffid) != 71 || strlen(digest) != 71)
		return err_set(err, ERR_SYSTEM, 0, "%s gave no digest", UNPACK_PROGRAM);
	/* It has compared them as well; what is recorded is checked here. */
	if ((c->job->digest && !str_eq(digest, c->job->digest)) || (c->job->diffid && !str_eq(diffid, c->job->diffid)))
		return err_set(err, ERR_SYSTEM, 0, "%s gave another digest than it was asked for", UNPACK_PROGRAM);
	snprintf(out->diffid, sizeof(out->diffid), "%s", diffid);
	out->tar_bytes = json_get_i64(root, "tarBytes", 0);
	out->content_bytes = json_get_i64(root, "contentBytes", out->tar_bytes);
	if (c->recompress)
		return blob_writer_finish(c->recompress, out->blob_digest, &out->blob_bytes, err);
	snprintf(out->blob_digest, sizeof(out->blob_digest), "%s", digest);
	out->blob_bytes = json_get_i64(root, "bytes", 0);
	return 0;
}

int convert_finish(struct convert *c_taken, struct err *err)
{
	CLEANUP(cleanup_convert) struct convert *c = c_taken;
	CLEANUP_BUF struct buf result = BUF_INIT(REPORT_MAX), errors = BUF_INIT(REPORT_MAX);
	int r = fd_read_all(c->result, &result);
	if (r >= 0)
		r = fd_read_all(c->errors, &errors);
	cleanup_fd(&c->to_worker);
	int status = worker_wait(c->pid);
	c->pid = -1;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read what %s says", UNPACK_PROGRAM);
	if (status != 0)
		return worker_error(UNPACK_PROGRAM, status, buf_str(&errors), err);
	return read_result(c, buf_str(&result), result.len, err);
}

/* Wait until some job can go on, give each its turn, collect what has ended. */
static int turn(struct convert **running, size_t slots, const struct image_progress *progress, struct err *err)
{
	struct pollfd fds[2 * SLOTS_MAX];
	for (size_t i = 0; i < slots; i++) {
		fds[2 * i] = (struct pollfd){ .fd = running[i] ? running[i]->to_worker : -1, .events = POLLOUT };
		fds[2 * i + 1] = (struct pollfd){ .fd = running[i] ? running[i]->result : -1, .events = POLLIN };
	}
	if (poll(fds, 2 * slots, -1) < 0)
		return errno == EINTR ? 0 : err_set(err, ERR_SYSTEM, -errno, "poll");
	for (size_t i = 0; i < slots; i++) {
		struct convert *c = running[i];
		if (fds[2 * i].revents) {
			int r = feed(c, err);
			if (r < 0)
				return r;
			image_report(progress, c->job->title, "Loading layer", c->done,
				     c->job->len > 0 ? c->job->len : 0);
		}
		if (fds[2 * i + 1].revents) {
			int r = convert_finish(TAKE_PTR(running[i]), err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int convert_run(const struct ingest *ingest, struct convert_job *jobs, size_t n, unsigned parallel,
		const struct image_progress *progress, struct err *err)
{
	struct convert *running[SLOTS_MAX] = { NULL };
	size_t next = 0, alive, slots = parallel ? parallel : (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	int r = 0;
	slots = slots > SLOTS_MAX ? SLOTS_MAX : slots;
	do {
		alive = 0;
		for (size_t i = 0; i < slots && r >= 0; i++) {
			if (!running[i] && next < n) {
				r = convert_start(ingest, &jobs[next], next, &running[i], err);
				next++;
			}
			alive += running[i] != NULL;
		}
		if (r >= 0 && alive)
			r = turn(running, slots, progress, err);
	} while (r >= 0 && alive);
	for (size_t i = 0; i < slots; i++)
		convert_cancel(running[i]);
	return r;
}
