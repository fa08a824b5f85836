/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_writer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "str.h"
#include "tar_format.h"
#include "tar_number.h"

#define FLUSH_BYTES (256u * 1024)
/* Records of one entry: two names and all its xattrs. */
#define RECORDS_MAX (1024u * 1024)

void tar_writer_init(struct tar_writer *w, int fd)
{
	*w = (struct tar_writer){ .fd = fd, .out = BUF_INIT(FLUSH_BYTES + 4 * RECORDS_MAX) };
}

void tar_writer_done(struct tar_writer *w)
{
	buf_free(&w->out);
}

static int flush(struct tar_writer *w, struct err *err)
{
	int r = fd_write_all(w->fd, w->out.data, w->out.len);
	buf_clear(&w->out);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the archive") : 0;
}

static int put(struct tar_writer *w, const void *data, size_t len, struct err *err)
{
	int r = buf_append(&w->out, data, len);
	w->bytes += len;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the archive");
	return w->out.len >= FLUSH_BYTES ? flush(w, err) : 0;
}

static int put_zeros(struct tar_writer *w, size_t len, struct err *err)
{
	static const char zeros[2 * TAR_BLOCK];
	assert(len <= sizeof(zeros));
	return len ? put(w, zeros, len, err) : 0;
}

/* "LENGTH KEY=VALUE\n", LENGTH counting itself. */
static int add_record(struct buf *b, const char *key, const void *value, size_t len)
{
	size_t base = strlen(key) + len + 3, total = base + 1, digits = 1;
	for (size_t limit = 10; total >= limit; limit *= 10)
		total = base + ++digits;
	int r = buf_printf(b, "%zu %s=", total, key);
	if (r >= 0)
		r = buf_append(b, value, len);
	return r < 0 ? r : buf_append_char(b, '\n');
}

static int add_number(struct buf *b, const char *key, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return add_record(b, key, text, (size_t)n);
}

/* Seconds may be negative while nanoseconds count upward from them. */
static int add_time(struct buf *b, int64_t sec, uint32_t nsec)
{
	char text[40];
	const char *sign = "";
	uint64_t whole = (uint64_t)sec;
	if (sec < 0) {
		sign = "-";
		whole = (uint64_t)-(sec + 1) + (nsec ? 0 : 1);
		nsec = nsec ? 1000000000 - nsec : 0;
	}
	int n = snprintf(text, sizeof(text), nsec ? "%s%llu.%09u" : "%s%llu", sign, (unsigned long long)whole, nsec);
	return add_record(b, "mtime", text, (size_t)n);
}

/* Octal with a final NUL; the field keeps 0 if the number does not fit, which
 * a PAX record makes up for. */
static void put_octal(char *field, size_t len, uint64_t v)
{
	if (v >> 3 * (len - 1))
		v = 0;
	for (size_t i = len - 1; i-- > 0; v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

static void finish_header(struct tar_header *h)
{
	uint32_t sum;
	int32_t unused;
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	tar_number_checksum((const uint8_t *)h, &sum, &unused);
	put_octal(h->chksum, 7, sum);
	h->chksum[7] = ' ';
}

static char type_of(enum tar_kind kind)
{
	static const char types[] = {
		[TAR_REGULAR] = TAR_TYPE_REGULAR, [TAR_HARDLINK] = TAR_TYPE_HARDLINK, [TAR_SYMLINK] = TAR_TYPE_SYMLINK,
		[TAR_CHAR] = TAR_TYPE_CHAR,       [TAR_BLOCKDEV] = TAR_TYPE_BLOCK,    [TAR_DIRECTORY] = TAR_TYPE_DIRECTORY,
		[TAR_FIFO] = TAR_TYPE_FIFO,
	};
	return types[kind];
}

static int add_records(struct buf *b, const struct tar_entry *e, const char *name)
{
	int r = 0;
	if (strlen(name) > sizeof(((struct tar_header *)0)->name))
		r = add_record(b, "path", name, strlen(name));
	if (r >= 0 && strlen(e->link) > sizeof(((struct tar_header *)0)->linkname))
		r = add_record(b, "linkpath", e->link, strlen(e->link));
	if (r >= 0 && e->size >> 33)
		r = add_number(b, "size", e->size);
	if (r >= 0 && e->uid > 07777777)
		r = add_number(b, "uid", e->uid);
	if (r >= 0 && e->gid > 07777777)
		r = add_number(b, "gid", e->gid);
	if (r >= 0 && (e->mtime_sec < 0 || e->mtime_sec >> 33 || e->mtime_nsec))
		r = add_time(b, e->mtime_sec, e->mtime_nsec);
	for (size_t i = 0; r >= 0 && i < e->n_xattrs; i++) {
		CLEANUP_FREE char *key = str_printf("SCHILY.xattr.%s", e->xattrs[i].name);
		r = add_record(b, key, e->xattrs[i].value, e->xattrs[i].len);
	}
	return r;
}

static int put_records(struct tar_writer *w, const struct buf *records, struct err *err)
{
	struct tar_header h = { .typeflag = TAR_TYPE_PAX, .name = "PaxHeaders/entry" };
	put_octal(h.mode, sizeof(h.mode), 0644);
	put_octal(h.uid, sizeof(h.uid), 0);
	put_octal(h.gid, sizeof(h.gid), 0);
	put_octal(h.mtime, sizeof(h.mtime), 0);
	put_octal(h.size, sizeof(h.size), records->len);
	finish_header(&h);
	int r = put(w, &h, sizeof(h), err);
	if (r >= 0)
		r = put(w, records->data, records->len, err);
	return r < 0 ? r : put_zeros(w, (TAR_BLOCK - records->len % TAR_BLOCK) % TAR_BLOCK, err);
}

int tar_writer_entry(struct tar_writer *w, const struct tar_entry *e, struct err *err)
{
	CLEANUP_BUF struct buf records = BUF_INIT(RECORDS_MAX);
	bool slash = e->kind == TAR_DIRECTORY && !str_ends_with(e->path, "/");
	CLEANUP_FREE char *name = str_printf("%s%s", e->path, slash ? "/" : "");
	struct tar_header h = { .typeflag = type_of(e->kind) };
	assert(!w->data_left);
	int r = put_zeros(w, w->padding, err);
	if (r < 0)
		return r;
	r = add_records(&records, e, name);
	if (r < 0)
		return err_set(err, ERR_INVALID, r, "%s: too long for an archive", e->path);
	if (records.len && (r = put_records(w, &records, err)) < 0)
		return r;
	uint64_t size = e->kind == TAR_REGULAR ? e->size : 0;
	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	memcpy(h.linkname, e->link, strnlen(e->link, sizeof(h.linkname)));
	put_octal(h.mode, sizeof(h.mode), e->mode);
	put_octal(h.uid, sizeof(h.uid), e->uid);
	put_octal(h.gid, sizeof(h.gid), e->gid);
	put_octal(h.size, sizeof(h.size), size);
	put_octal(h.mtime, sizeof(h.mtime), e->mtime_sec < 0 ? 0 : (uint64_t)e->mtime_sec);
	put_octal(h.devmajor, sizeof(h.devmajor), e->dev_major);
	put_octal(h.devminor, sizeof(h.devminor), e->dev_minor);
	finish_header(&h);
	w->data_left = size;
	w->padding = (uint32_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
	return put(w, &h, sizeof(h), err);
}

int tar_writer_data(struct tar_writer *w, const void *data, size_t len, struct err *err)
{
	assert(len <= w->data_left);
	w->data_left -= len;
	return put(w, data, len, err);
}

int tar_writer_finish(struct tar_writer *w, struct err *err)
{
	assert(!w->data_left);
	int r = put_zeros(w, w->padding, err);
	if (r >= 0)
		r = put_zeros(w, 2 * TAR_BLOCK, err);
	return r < 0 ? r : flush(w, err);
}
