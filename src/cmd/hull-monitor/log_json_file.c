/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's json-file: one JSON object a line in workloads/<id>/<id>-json.log,
 * rotated by size to .1, .2, ...
 *
 * Written with a writer of its own rather than base/json: this is the hot path
 * of every workload's output, and it must not allocate. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "buf.h"
#include "clock.h"
#include "json_escape.h"
#include "log_sink.h"
#include "str.h"

/* Six bytes may come of one, plus the frame around them. */
#define OUT_MAX (6 * LOG_LINE_MAX + 32768)

static struct {
	int dirfd, fd;
	char name[96];
	uint64_t size, max_size;
	uint32_t max_file;
	char *attrs; /* ,"attrs":{...} */
	size_t attrs_len;
	size_t out_len;
	uint64_t lines_in_out, lost;
	int lost_why;
	int64_t time_ns;
	size_t time_len;
	char time_text[CLOCK_RFC3339_SIZE];
} json = { .dirfd = -1, .fd = -1 };
/* Whole pages, so that trimming them touches nothing else. */
static char out[(OUT_MAX + 4095) / 4096 * 4096] __attribute__((aligned(4096)));

static int open_file(int flags)
{
	int fd = openat(json.dirfd, json.name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
	struct stat st;
	if (fd < 0)
		return -errno;
	json.fd = fd;
	json.size = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

static void put_attr(struct buf *b, const char *pair, bool is_first)
{
	char text[8192];
	size_t key_len = strcspn(pair, "="), n = 0;
	const char *value = pair[key_len] ? pair + key_len + 1 : "";
	if (6 * (strlen(pair) + 1) + 16 > sizeof(text))
		return;
	if (!is_first)
		text[n++] = ',';
	text[n++] = '"';
	n += json_escape(text + n, pair, key_len);
	text[n++] = '"';
	text[n++] = ':';
	text[n++] = '"';
	n += json_escape(text + n, value, strlen(value));
	text[n++] = '"';
	(void)!buf_append(b, text, n);
}

/* The constant part of each line, made once. */
static void make_attrs(const struct monitor_conf *conf)
{
	if (!conf->log_attrs.n && !conf->log_tag)
		return;
	CLEANUP_BUF struct buf b = BUF_INIT(32000);
	bool is_first = true;
	(void)!buf_append_str(&b, ",\"attrs\":{");
	for (size_t i = 0; i < conf->log_attrs.n; i++, is_first = false)
		put_attr(&b, conf->log_attrs.v[i], is_first);
	if (conf->log_tag) {
		CLEANUP_FREE char *pair = str_printf("tag=%s", conf->log_tag);
		put_attr(&b, pair, is_first);
	}
	(void)!buf_append_char(&b, '}');
	json.attrs_len = b.len;
	json.attrs = buf_steal(&b);
}

static int json_open(const struct monitor_conf *conf, int state_dirfd, struct err *err)
{
	snprintf(json.name, sizeof(json.name), "%.64s-json.log", conf->id);
	json.dirfd = state_dirfd;
	json.max_size = conf->log_max_size_bytes;
	json.max_file = conf->log_max_file ? conf->log_max_file : 1;
	make_attrs(conf);
	int r = open_file(0);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "open the log file %s", json.name) : 0;
}

static void numbered(char *to, size_t size, uint32_t n)
{
	if (n)
		snprintf(to, size, "%s.%u", json.name, n);
	else
		snprintf(to, size, "%s", json.name);
}

static void rotate(void)
{
	char from[128], to[128];
	if (json.max_file == 1) {
		if (ftruncate(json.fd, 0) == 0)
			json.size = 0;
		return;
	}
	for (uint32_t i = json.max_file - 1; i > 0; i--) {
		numbered(to, sizeof(to), i);
		numbered(from, sizeof(from), i - 1);
		(void)renameat(json.dirfd, from, json.dirfd, to);
	}
	int old = json.fd;
	/* If no new file can be made, the old one goes on under its new name. */
	if (open_file(0) == 0)
		close(old);
}

static void write_out(void)
{
	size_t done = 0;
	int why = 0;
	if (json.max_size && json.size >= json.max_size)
		rotate();
	while (done < json.out_len) {
		ssize_t n = write(json.fd, out + done, json.out_len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			why = n < 0 ? errno : ENOSPC;
			break;
		}
		done += (size_t)n;
	}
	if (why) {
		/* No torn line stays: readers take the file line by line. */
		if (done)
			(void)!ftruncate(json.fd, (off_t)json.size);
		json.lost += json.lines_in_out;
		json.lost_why = why;
	} else {
		json.size += done;
	}
	json.out_len = 0;
	json.lines_in_out = 0;
}

static int json_write(const struct log_line *line)
{
	static const char head[] = "{\"log\":\"", stream_out[] = "\",\"stream\":\"stdout\"",
			  stream_err[] = "\",\"stream\":\"stderr\"", time_head[] = ",\"time\":\"", tail[] = "\"}\n";
	size_t worst = 6 * line->len + json.attrs_len + 256;
	if (json.out_len + worst > sizeof(out) && json.out_len)
		write_out();
	/* Rotation is by whole lines, so it is looked at before each. */
	if (json.max_size && json.size + json.out_len >= json.max_size && json.out_len)
		write_out();
	if (json.time_ns != line->wall_ns || !json.time_len) {
		clock_format_rfc3339(line->wall_ns, json.time_text);
		json.time_len = strlen(json.time_text);
		json.time_ns = line->wall_ns;
	}
	char *p = out + json.out_len;
#define PUT(text, n) (p = (char *)memcpy(p, text, n) + (n))
	PUT(head, sizeof(head) - 1);
	p += json_escape(p, line->text, line->len);
	if (line->stream == 2)
		PUT(stream_err, sizeof(stream_err) - 1);
	else
		PUT(stream_out, sizeof(stream_out) - 1);
	if (json.attrs)
		PUT(json.attrs, json.attrs_len);
	PUT(time_head, sizeof(time_head) - 1);
	PUT(json.time_text, json.time_len);
	PUT(tail, sizeof(tail) - 1);
#undef PUT
	json.out_len = (size_t)(p - out);
	json.lines_in_out++;
	return 0;
}

static uint64_t json_flush(int *ret_why)
{
	if (json.out_len)
		write_out();
	uint64_t lost = json.lost;
	*ret_why = json.lost_why;
	json.lost = 0;
	return lost;
}

static void json_trim(void)
{
	if (!json.out_len)
		(void)madvise(out, sizeof(out), MADV_DONTNEED);
}

const struct log_driver_ops log_json_file_ops = { .open = json_open, .write = json_write, .flush = json_flush, .trim = json_trim };
