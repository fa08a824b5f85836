/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: one entry is an optional PAX header ('x'), optional GNU long
 * names ('L', 'K'), the header itself, for sparse files a map, and data padded
 * to a whole block. The prefixes are gathered into the reader until the header
 * comes; everything is reset after it. The bytes come as pieces of any length;
 * blocks are copied out of them, file data is handed on where it lies. */
#include "tar_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "str.h"
#include "tar_format.h"
#include "tar_number.h"
#include "tar_pax.h"

struct tar_reader {
	struct tar_source source;
	/* The rest of the current piece. */
	const uint8_t *piece;
	size_t piece_len;
	bool at_eof;
	/* Data and padding of the current entry still in the archive. */
	uint64_t data_left, pad_left;
	/* Sparse files: data pieces in the pax struct and where we are. */
	bool is_sparse;
	size_t sparse_at;
	uint64_t sparse_done; /* bytes of that piece handed out */
	uint64_t offset;      /* plain files: handed out so far */
	struct tar_pax pax, global;
	bool has_pax;
	struct buf long_name, long_link;
	bool has_long_name, has_long_link;
	char name[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1];
	struct tar_entry entry;
	uint64_t n_entries;
};

struct tar_reader *tar_reader_new(struct tar_source source)
{
	struct tar_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->source = source;
	r->pax = r->global = TAR_PAX_INIT;
	r->long_name = r->long_link = BUF_INIT(TAR_PATH_MAX + TAR_BLOCK);
	return r;
}

void tar_reader_free(struct tar_reader *r)
{
	if (!r)
		return;
	tar_pax_done(&r->pax);
	tar_pax_done(&r->global);
	buf_free(&r->long_name);
	buf_free(&r->long_link);
	free(r);
}

uint64_t tar_reader_entries(const struct tar_reader *r)
{
	return r->n_entries;
}

/* Make the current piece non-empty, or set at_eof. */
static int fill(struct tar_reader *r, struct err *err)
{
	while (!r->piece_len && !r->at_eof) {
		int x = r->source.next(r->source.ctx, &r->piece, &r->piece_len, err);
		if (x < 0)
			return x;
		r->at_eof = !r->piece_len;
	}
	return 0;
}

static int truncated(struct err *err)
{
	return err_set(err, ERR_INVALID, 0, "the archive ends in the middle of an entry");
}

/* 1: a block; 0: the archive ended before it. */
static int read_block(struct tar_reader *r, void *block, struct err *err)
{
	size_t have = 0;
	while (have < TAR_BLOCK) {
		int x = fill(r, err);
		if (x < 0)
			return x;
		if (r->at_eof)
			return have ? truncated(err) : 0;
		size_t n = TAR_BLOCK - have < r->piece_len ? TAR_BLOCK - have : r->piece_len;
		memcpy((uint8_t *)block + have, r->piece, n);
		have += n;
		r->piece += n;
		r->piece_len -= n;
	}
	return 1;
}

/* The next at most @max bytes where they lie; never empty. */
static int read_piece(struct tar_reader *r, uint64_t max, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	int x = fill(r, err);
	if (x < 0)
		return x;
	if (r->at_eof)
		return truncated(err);
	size_t n = r->piece_len < max ? r->piece_len : (size_t)max;
	*ret = r->piece;
	*ret_len = n;
	r->piece += n;
	r->piece_len -= n;
	return 0;
}

static int skip(struct tar_reader *r, uint64_t n, struct err *err)
{
	while (n) {
		const uint8_t *data;
		size_t len;
		int x = read_piece(r, n, &data, &len, err);
		if (x < 0)
			return x;
		n -= len;
	}
	return 0;
}

static uint64_t padding(uint64_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* The data of a PAX header or long name, with its padding. */
static int read_to_buf(struct tar_reader *r, uint64_t size, struct buf *b, const char *what, struct err *err)
{
	buf_clear(b);
	if (size > b->max)
		return err_set(err, ERR_INVALID, 0, "%s of %llu bytes is too long", what, (unsigned long long)size);
	for (uint64_t left = size; left;) {
		const uint8_t *data;
		size_t len;
		int x = read_piece(r, left, &data, &len, err);
		if (x < 0)
			return x;
		if (buf_append(b, data, len) < 0)
			return err_set(err, ERR_SYSTEM, -ENOMEM, "read %s", what);
		left -= len;
	}
	return skip(r, padding(size), err);
}

static bool is_zero_block(const void *block)
{
	const uint8_t *p = block;
	return !p[0] && !memcmp(p, p + 1, TAR_BLOCK - 1);
}

static int field(const char *f, size_t len, const char *what, int64_t *ret, struct err *err)
{
	if (tar_number_field(f, len, ret) < 0)
		return err_set(err, ERR_INVALID, 0, "bad %s in a header", what);
	return 0;
}
#define FIELD(f, what, ret) field((f), sizeof(f), (what), (ret), err)

static int check_sum(const struct tar_header *h, struct err *err)
{
	int64_t stored;
	uint32_t sum;
	int32_t signed_sum;
	int x = FIELD(h->chksum, "checksum", &stored);
	if (x < 0)
		return x;
	tar_number_checksum((const uint8_t *)h, &sum, &signed_sum);
	if (stored != sum && stored != signed_sum)
		return err_set(err, ERR_INVALID, 0, "not a tar header (wrong checksum)");
	return 0;
}

enum flavour { FLAVOUR_V7, FLAVOUR_USTAR, FLAVOUR_GNU };

static enum flavour flavour_of(const struct tar_header *h)
{
	if (!memcmp(h->magic, "ustar\0", 6))
		return FLAVOUR_USTAR;
	if (!memcmp(h->magic, "ustar ", 6) && !memcmp(h->version, " ", 2))
		return FLAVOUR_GNU;
	return FLAVOUR_V7;
}

static bool is_star(const struct tar_header *h)
{
	return !memcmp(h->pad + 8, "tar", 4);
}

static void header_name(const struct tar_header *h, char *out)
{
	size_t prefix = 0, name = strnlen(h->name, sizeof(h->name));
	if (flavour_of(h) == FLAVOUR_USTAR) {
		prefix = strnlen(h->u.prefix, is_star(h) ? sizeof(h->u.star.prefix) : sizeof(h->u.prefix));
		memcpy(out, h->u.prefix, prefix);
		if (prefix)
			out[prefix++] = '/';
	}
	memcpy(out + prefix, h->name, name);
	out[prefix + name] = '\0';
}

static int copy_name(const char *from, const char *what, char out[static TAR_PATH_MAX + 1], struct err *err)
{
	if (str_copy(out, TAR_PATH_MAX + 1, from) < 0)
		return err_set(err, ERR_INVALID, 0, "%s longer than %u bytes", what, TAR_PATH_MAX);
	return 0;
}

/* The long name and the PAX record would have to agree; readers differ. */
static int pick_name(const struct buf *gnu, bool has_gnu, const char *pax, const char *what,
		     char out[static TAR_PATH_MAX + 1], struct err *err)
{
	if (has_gnu && !str_is_empty(pax))
		return err_set(err, ERR_INVALID, 0, "both a GNU and a PAX %s", what);
	if (has_gnu) {
		if (!*buf_str(gnu))
			return err_set(err, ERR_INVALID, 0, "empty GNU %s", what);
		/* The data ends with a NUL; anything but NULs after the first hides something. */
		for (size_t i = strlen(buf_str(gnu)); i < gnu->len; i++)
			if (gnu->data[i])
				return err_set(err, ERR_INVALID, 0, "GNU %s with a NUL in it", what);
		return copy_name(buf_str(gnu), what, out, err);
	}
	return str_is_empty(pax) ? 0 : copy_name(pax, what, out, err);
}

/* ---- sparse files ---- */

static int bad_sparse(struct err *err)
{
	return err_set(err, ERR_INVALID, 0, "bad map of a sparse file");
}

/* 1: more, 0: that was the last one. */
static int add_gnu_piece(struct tar_reader *r, const struct tar_gnu_sparse *s, struct err *err)
{
	int64_t offset, length;
	if (!s->offset[0])
		return 0;
	if (tar_number_field(s->offset, sizeof(s->offset), &offset) < 0 ||
	    tar_number_field(s->length, sizeof(s->length), &length) < 0 || offset < 0 || length < 0 ||
	    tar_pax_add_piece(&r->pax, (uint64_t)offset, (uint64_t)length) < 0)
		return bad_sparse(err);
	return 1;
}

static int read_gnu_map(struct tar_reader *r, const struct tar_header *h, uint64_t *ret_size, struct err *err)
{
	int64_t size;
	int x = 1;
	if (r->pax.has_sparse || flavour_of(h) != FLAVOUR_GNU)
		return bad_sparse(err);
	if (FIELD(h->u.gnu.realsize, "real size", &size) < 0 || size < 0)
		return bad_sparse(err);
	for (size_t i = 0; x > 0 && i < ARRAY_LEN(h->u.gnu.sparse); i++)
		x = add_gnu_piece(r, &h->u.gnu.sparse[i], err);
	for (bool more = h->u.gnu.is_extended; x >= 0 && more;) {
		struct tar_gnu_extension ext;
		int got = read_block(r, &ext, err);
		if (got <= 0)
			return got < 0 ? got : truncated(err);
		for (size_t i = 0; x > 0 && i < ARRAY_LEN(ext.sparse); i++)
			x = add_gnu_piece(r, &ext.sparse[i], err);
		more = ext.is_extended;
		/* A chain of empty blocks would never reach the limit on pieces. */
		if (more && x == 0)
			return bad_sparse(err);
	}
	*ret_size = (uint64_t)size;
	return x < 0 ? x : 0;
}

/* One decimal line of a 1.0 map, from blocks at the start of the data. */
static int map_line(struct tar_reader *r, uint8_t block[TAR_BLOCK], size_t *at, uint64_t *ret, struct err *err)
{
	char digits[20];
	size_t n = 0;
	for (;;) {
		if (*at == TAR_BLOCK) {
			if (r->data_left < TAR_BLOCK)
				return bad_sparse(err);
			int x = read_block(r, block, err);
			if (x <= 0)
				return x < 0 ? x : truncated(err);
			r->data_left -= TAR_BLOCK;
			*at = 0;
		}
		char c = (char)block[(*at)++];
		if (c == '\n')
			break;
		if (n == sizeof(digits))
			return bad_sparse(err);
		digits[n++] = c;
	}
	if (tar_number_decimal(digits, n, ret) < 0)
		return bad_sparse(err);
	return 0;
}

static int read_pax_map(struct tar_reader *r, struct err *err)
{
	uint8_t block[TAR_BLOCK];
	size_t at = TAR_BLOCK;
	uint64_t n, offset, length;
	int x = map_line(r, block, &at, &n, err);
	if (x < 0)
		return x;
	if (r->pax.n_pieces || n > TAR_SPARSE_MAX)
		return bad_sparse(err);
	while (n--) {
		x = map_line(r, block, &at, &offset, err);
		if (x >= 0)
			x = map_line(r, block, &at, &length, err);
		if (x < 0)
			return x;
		if (tar_pax_add_piece(&r->pax, offset, length) < 0)
			return bad_sparse(err);
	}
	return 0;
}

/* Pieces ascend, do not overlap, end within the file and are as long together
 * as the data that follows. */
static int check_map(const struct tar_reader *r, uint64_t size, struct err *err)
{
	uint64_t end = 0, sum = 0;
	for (size_t i = 0; i < r->pax.n_pieces; i++) {
		const struct tar_sparse_piece *p = &r->pax.pieces[i];
		uint64_t piece_end;
		if (p->offset < end || __builtin_add_overflow(p->offset, p->length, &piece_end) || piece_end > size)
			return bad_sparse(err);
		end = piece_end;
		sum += p->length;
	}
	return sum == r->data_left ? 0 : bad_sparse(err);
}

static int read_sparse(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	struct tar_pax *pax = &r->pax;
	uint64_t size = 0;
	int x;
	if (h->typeflag == TAR_TYPE_GNU_SPARSE) {
		x = read_gnu_map(r, h, &size, err);
	} else {
		if (!pax->has_sparse_size || pax->sparse_minor || pax->sparse_major > 1 ||
		    (pax->has_sparse_count && pax->sparse_count != pax->n_pieces && !pax->sparse_major))
			return bad_sparse(err);
		size = pax->sparse_size;
		x = pax->sparse_major ? read_pax_map(r, err) : 0;
	}
	if (x < 0)
		return x;
	r->is_sparse = true;
	r->entry.size = size;
	return check_map(r, size, err);
}

/* ---- entries ---- */

static int kind_of(const struct tar_header *h, const char *name, enum tar_kind *ret, struct err *err)
{
	size_t len = strlen(name);
	bool slash = len && name[len - 1] == '/';
	switch (h->typeflag) {
	case TAR_TYPE_REGULAR_OLD:
	case TAR_TYPE_REGULAR:
	case TAR_TYPE_CONTIGUOUS:
	case TAR_TYPE_GNU_SPARSE:
		*ret = TAR_REGULAR;
		/* Pre-POSIX archives mark directories so; for the others some
		 * readers make a file of it and some a directory. */
		if (slash && h->typeflag == TAR_TYPE_REGULAR_OLD)
			*ret = TAR_DIRECTORY;
		else if (slash)
			return err_set(err, ERR_INVALID, 0, "a file with a slash at the end of its name");
		return 0;
	case TAR_TYPE_HARDLINK:
		*ret = TAR_HARDLINK;
		return 0;
	case TAR_TYPE_SYMLINK:
		*ret = TAR_SYMLINK;
		return 0;
	case TAR_TYPE_CHAR:
		*ret = TAR_CHAR;
		return 0;
	case TAR_TYPE_BLOCK:
		*ret = TAR_BLOCKDEV;
		return 0;
	case TAR_TYPE_DIRECTORY:
		*ret = TAR_DIRECTORY;
		return 0;
	case TAR_TYPE_FIFO:
		*ret = TAR_FIFO;
		return 0;
	default:
		return err_set(err, ERR_INVALID, 0, "unknown type 0x%02x", (unsigned)(uint8_t)h->typeflag);
	}
}

static int owner_field(const char *f, size_t len, bool has_pax, uint32_t pax, const char *what, uint32_t *ret,
		       struct err *err)
{
	int64_t v = pax;
	int x = has_pax ? 0 : field(f, len, what, &v, err);
	if (x < 0)
		return x;
	/* (uint32_t)-1 means "no id" to the kernel. */
	if (v < 0 || v >= UINT32_MAX)
		return err_set(err, ERR_INVALID, 0, "%s out of range", what);
	*ret = (uint32_t)v;
	return 0;
}

static int read_numbers(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	struct tar_entry *e = &r->entry;
	const struct tar_pax *pax = &r->pax;
	int64_t mode, major = 0, minor = 0, mtime = 0;
	int x = FIELD(h->mode, "mode", &mode);
	if (x >= 0 && !pax->has_mtime)
		x = FIELD(h->mtime, "time", &mtime);
	if (x >= 0)
		x = owner_field(h->uid, sizeof(h->uid), pax->has_uid, pax->uid, "user id", &e->uid, err);
	if (x >= 0)
		x = owner_field(h->gid, sizeof(h->gid), pax->has_gid, pax->gid, "group id", &e->gid, err);
	bool is_device = e->kind == TAR_CHAR || e->kind == TAR_BLOCKDEV;
	if (x >= 0 && is_device)
		x = FIELD(h->devmajor, "device number", &major);
	if (x >= 0 && is_device)
		x = FIELD(h->devminor, "device number", &minor);
	if (x < 0)
		return x;
	/* What fits a dev_t of the kernel. */
	if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
		return err_set(err, ERR_INVALID, 0, "device number out of range");
	e->mode = (uint32_t)mode & 07777;
	e->dev_major = (uint32_t)major;
	e->dev_minor = (uint32_t)minor;
	e->mtime_sec = pax->has_mtime ? pax->mtime_sec : mtime;
	e->mtime_nsec = pax->has_mtime ? pax->mtime_nsec : 0;
	return 0;
}

/* Fill data_left and pad_left for an entry of r->entry.kind. */
static int read_size(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	int64_t size;
	int x = FIELD(h->size, "size", &size);
	if (r->pax.has_size)
		size = (int64_t)r->pax.size;
	else if (x < 0)
		return x;
	/* Room for the padding too. */
	if (size < 0 || size > INT64_MAX - (int64_t)TAR_BLOCK)
		return err_set(err, ERR_INVALID, 0, "bad size");
	/* Old tars give a hard link the size of its file, without data. For the
	 * other kinds readers disagree on whether data follows. */
	if (r->entry.kind == TAR_HARDLINK)
		size = 0;
	if (r->entry.kind != TAR_REGULAR && size)
		return err_set(err, ERR_INVALID, 0, "an entry that is no file has data");
	r->data_left = (uint64_t)size;
	r->pad_left = padding((uint64_t)size);
	r->entry.size = (uint64_t)size;
	return 0;
}

static int read_entry(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	struct tar_entry *e = &r->entry;
	struct tar_pax *pax = &r->pax;
	const char *path = pax->sparse_name && *pax->sparse_name ? pax->sparse_name : pax->path;

	*e = (struct tar_entry){ .path = r->name, .link = r->link };
	header_name(h, r->name);
	int x = pick_name(&r->long_name, r->has_long_name, path, "name", r->name, err);
	if (x < 0)
		return x;
	if (!*r->name)
		return err_set(err, ERR_INVALID, 0, "an entry without a name");
	x = kind_of(h, r->name, &e->kind, err);
	r->link[0] = '\0';
	if (x >= 0 && (e->kind == TAR_HARDLINK || e->kind == TAR_SYMLINK)) {
		size_t n = strnlen(h->linkname, sizeof(h->linkname));
		memcpy(r->link, h->linkname, n);
		r->link[n] = '\0';
		x = pick_name(&r->long_link, r->has_long_link, pax->link, "link target", r->link, err);
		if (x >= 0 && !*r->link)
			x = err_set(err, ERR_INVALID, 0, "a link without a target");
	}
	if (x >= 0)
		x = read_numbers(r, h, err);
	if (x >= 0)
		x = read_size(r, h, err);
	bool sparse = h->typeflag == TAR_TYPE_GNU_SPARSE || pax->has_sparse;
	if (x >= 0 && sparse)
		x = e->kind == TAR_REGULAR ? read_sparse(r, h, err) : bad_sparse(err);
	if (x < 0)
		return err_context(err, x, "%.200s", r->name);
	e->xattrs = pax->xattrs;
	e->n_xattrs = pax->n_xattrs;
	return 1;
}

/* A header that describes the entry after it. */
static int read_prefix(struct tar_reader *r, const struct tar_header *h, struct err *err)
{
	int64_t size;
	int x = FIELD(h->size, "size", &size);
	if (x < 0)
		return x;
	if (size < 0)
		return err_set(err, ERR_INVALID, 0, "bad size");
	switch (h->typeflag) {
	case TAR_TYPE_PAX_GLOBAL:
		tar_pax_clear(&r->global);
		x = read_to_buf(r, (uint64_t)size, &r->global.text, "global PAX header", err);
		return x < 0 ? x : tar_pax_parse(&r->global, true, err);
	case TAR_TYPE_PAX:
		if (r->has_pax)
			break;
		r->has_pax = true;
		x = read_to_buf(r, (uint64_t)size, &r->pax.text, "PAX header", err);
		return x < 0 ? x : tar_pax_parse(&r->pax, false, err);
	case TAR_TYPE_GNU_LONGNAME:
		if (r->has_long_name)
			break;
		r->has_long_name = true;
		return read_to_buf(r, (uint64_t)size, &r->long_name, "name", err);
	default:
		if (r->has_long_link)
			break;
		r->has_long_link = true;
		return read_to_buf(r, (uint64_t)size, &r->long_link, "link target", err);
	}
	return err_set(err, ERR_INVALID, 0, "two extended headers for one entry");
}

static bool is_prefix(char type)
{
	return type == TAR_TYPE_PAX_GLOBAL || type == TAR_TYPE_PAX || type == TAR_TYPE_GNU_LONGNAME ||
	       type == TAR_TYPE_GNU_LONGLINK;
}

/* The second of the two zero blocks (an early end of file counts for it), then
 * whatever follows: it belongs to the digest but means nothing. */
static int read_end(struct tar_reader *r, struct err *err)
{
	uint8_t block[TAR_BLOCK];
	int x = read_block(r, block, err);
	if (x > 0 && !is_zero_block(block))
		return err_set(err, ERR_INVALID, 0, "a block of zeros in the middle of the archive");
	while (x >= 0 && !r->at_eof) {
		r->piece_len = 0;
		x = fill(r, err);
	}
	return x < 0 ? x : 0;
}

int tar_reader_next(struct tar_reader *r, const struct tar_entry **ret, struct err *err)
{
	struct tar_header h;
	int x = skip(r, r->data_left, err);
	if (x >= 0)
		x = skip(r, r->pad_left, err);
	if (x < 0)
		return err_context(err, x, "%.200s", r->name);
	r->data_left = r->pad_left = r->offset = r->sparse_done = 0;
	r->sparse_at = 0;
	r->is_sparse = r->has_pax = r->has_long_name = r->has_long_link = false;
	tar_pax_clear(&r->pax);
	for (;;) {
		bool pending = r->has_pax || r->has_long_name || r->has_long_link;
		x = read_block(r, &h, err);
		if (x < 0)
			return x;
		if (x == 0 || is_zero_block(&h))
			return pending ? truncated(err) : x == 0 ? 0 : read_end(r, err);
		x = check_sum(&h, err);
		if (x < 0)
			return x;
		if (!is_prefix(h.typeflag))
			break;
		x = read_prefix(r, &h, err);
		if (x < 0)
			return x;
	}
	x = read_entry(r, &h, err);
	if (x < 0)
		return x;
	r->n_entries++;
	*ret = &r->entry;
	return 1;
}

int tar_reader_data(struct tar_reader *r, uint64_t *ret_offset, const uint8_t **ret_data, size_t *ret_len,
		    struct err *err)
{
	uint64_t max = r->data_left;
	if (!max)
		return 0;
	*ret_offset = r->offset;
	if (r->is_sparse) {
		/* check_map() made sure that the pieces cover data_left. */
		while (r->sparse_done == r->pax.pieces[r->sparse_at].length) {
			r->sparse_at++;
			r->sparse_done = 0;
		}
		const struct tar_sparse_piece *p = &r->pax.pieces[r->sparse_at];
		max = p->length - r->sparse_done;
		*ret_offset = p->offset + r->sparse_done;
	}
	int x = read_piece(r, max, ret_data, ret_len, err);
	if (x < 0)
		return err_context(err, x, "%.200s", r->name);
	r->data_left -= *ret_len;
	r->offset += *ret_len;
	r->sparse_done += *ret_len;
	return 1;
}
