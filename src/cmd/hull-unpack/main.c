/* SPDX-License-Identifier: Apache-2.0 */
/* hull-unpack: see proto/unpack_proto.h. */
#include <signal.h>
#include <string.h>

#include "erofs_writer.h"
#include "expand.h"
#include "fd.h"
#include "json.h"
#include "layer_dir.h"
#include "pipeline.h"
#include "sandbox.h"
#include "unpack_args.h"
#include "unpack_proto.h"

#define REPORT_MAX 8192

static int print_line(int fd, struct json_writer *w)
{
	struct buf *out = w->out;
	int r = json_writer_finish(w);
	if (r >= 0)
		r = buf_append_char(out, '\n');
	if (r >= 0)
		r = fd_write_all(fd, out->data, out->len);
	buf_free(out);
	return r;
}

static void report_error(const struct err *err, int r)
{
	struct buf out = BUF_INIT(REPORT_MAX);
	struct json_writer w;
	json_writer_init(&w, &out, 0);
	jw_object(&w);
	jw_kv_i64(&w, "kind", err_is_set(err) ? (int64_t)err->kind : ERR_SYSTEM);
	jw_kv_i64(&w, "errno", r);
	jw_kv_str(&w, "message", err_is_set(err) ? err->msg : "unpack the layer");
	jw_kv_str(&w, "why", err->why);
	jw_kv_str(&w, "hint", err->hint);
	jw_object_end(&w);
	/* Nobody is left to tell if this fails; the exit status says enough. */
	(void)!print_line(STDERR_FILENO, &w);
}

static int report_result(const struct unpack_result *res, uint64_t erofs_bytes)
{
	struct buf out = BUF_INIT(REPORT_MAX);
	struct json_writer w;
	json_writer_init(&w, &out, 0);
	jw_object(&w);
	jw_kv_str(&w, "digest", res->digest);
	jw_kv_i64(&w, "bytes", (int64_t)res->bytes);
	jw_kv_str(&w, "diffid", res->diffid);
	jw_kv_i64(&w, "tarBytes", (int64_t)res->tar_bytes);
	jw_kv_i64(&w, "contentBytes", (int64_t)res->stats.content_bytes);
	jw_kv_str(&w, "compression", unpack_media_name(res->media));
	jw_kv_i64(&w, "erofsBytes", (int64_t)erofs_bytes);
	jw_kv_i64(&w, "entries", (int64_t)res->stats.entries);
	jw_kv_i64(&w, "dropped", (int64_t)res->stats.dropped);
	jw_object_end(&w);
	return print_line(STDOUT_FILENO, &w);
}

static int unpack(const struct unpack_args *args, struct unpack_result *res, uint64_t *ret_erofs, struct err *err)
{
	struct erofs_writer *image = NULL;
	struct layer_sink *sink = NULL;
	if (args->is_dir) {
		sink = layer_dir_new(UNPACK_OUTPUT_FD);
	} else {
		image = erofs_writer_new(UNPACK_OUTPUT_FD);
		sink = image ? erofs_writer_sink(image) : NULL;
	}
	if (!sink)
		return err_set(err, ERR_SYSTEM, -ENOMEM, "unpack the layer");
	int r = sandbox_enter(args->is_dir, UNPACK_OUTPUT_FD, err);
	if (r >= 0)
		r = unpack_run(args, STDIN_FILENO, args->has_tee ? UNPACK_TEE_FD : -1, sink, res, err);
	*ret_erofs = image && r >= 0 ? erofs_writer_bytes(image) : 0;
	sink->close(sink);
	return r;
}

static int expand(const struct unpack_args *args, struct unpack_result *res, struct err *err)
{
	int r = sandbox_enter(false, -1, err);
	if (r < 0)
		return r;
	return expand_run(args, args->has_prefix ? UNPACK_PREFIX_FD : -1, STDIN_FILENO, UNPACK_OUTPUT_FD, res, err);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct unpack_args args;
	struct unpack_result res = { 0 };
	uint64_t erofs_bytes = 0;
	/* A full disk is an error to report, a vanished reader too. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	int r = unpack_args_parse(argc, argv, &args, &err);
	if (r >= 0)
		r = args.is_expand ? expand(&args, &res, &err) : unpack(&args, &res, &erofs_bytes, &err);
	if (r >= 0)
		r = report_result(&res, erofs_bytes);
	if (r < 0)
		report_error(&err, r);
	return r < 0 ? 1 : 0;
}
