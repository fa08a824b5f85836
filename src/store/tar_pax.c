/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_pax.h"

#include <errno.h>
#include <string.h>

#include "str.h"
#include "tar_number.h"

#define XATTR_PREFIX "SCHILY.xattr."
#define SPARSE_PREFIX "GNU.sparse."
#define XATTRS_MAX 4096u

struct record {
	const char *key; /* NUL-terminated */
	char *value;     /* NUL after it too, but may hold others */
	size_t len;
};

static int bad(struct err *err, const struct record *rec)
{
	return err_set(err, ERR_INVALID, 0, "bad PAX record %.64s", rec->key);
}

void tar_pax_clear(struct tar_pax *pax)
{
	struct tar_pax fresh = { .text = pax->text,
				 .pieces = pax->pieces,
				 .cap_pieces = pax->cap_pieces,
				 .xattrs = pax->xattrs,
				 .cap_xattrs = pax->cap_xattrs };
	buf_clear(&fresh.text);
	*pax = fresh;
}

void tar_pax_done(struct tar_pax *pax)
{
	buf_free(&pax->text);
	free(pax->pieces);
	free(pax->xattrs);
}

int tar_pax_add_piece(struct tar_pax *pax, uint64_t offset, uint64_t length)
{
	if (pax->n_pieces >= TAR_SPARSE_MAX)
		return -E2BIG;
	if (pax->n_pieces == pax->cap_pieces) {
		size_t cap = pax->cap_pieces ? pax->cap_pieces * 2 : 64;
		void *p = realloc(pax->pieces, cap * sizeof(*pax->pieces));
		if (!p)
			return -ENOMEM;
		pax->pieces = p;
		pax->cap_pieces = cap;
	}
	pax->pieces[pax->n_pieces++] = (struct tar_sparse_piece){ offset, length };
	return 0;
}

static int take_text(const struct record *rec, const char **slot, struct err *err)
{
	if (memchr(rec->value, 0, rec->len))
		return bad(err, rec);
	/* Readers differ in which one of two counts. */
	if (*slot && !str_eq(*slot, rec->value))
		return err_set(err, ERR_INVALID, 0, "two different PAX records %s", rec->key);
	*slot = rec->value;
	return 0;
}

static int take_u64(const struct record *rec, bool *has, uint64_t max, uint64_t *slot, struct err *err)
{
	uint64_t v;
	if (!rec->len)
		return 0;
	if (tar_number_decimal(rec->value, rec->len, &v) < 0 || v > max)
		return bad(err, rec);
	if (*has && *slot != v)
		return err_set(err, ERR_INVALID, 0, "two different PAX records %s", rec->key);
	*has = true;
	*slot = v;
	return 0;
}

static int take_u32(const struct record *rec, bool *has, uint32_t *slot, struct err *err)
{
	uint64_t v = *slot;
	int r = take_u64(rec, has, UINT32_MAX - 1, &v, err);
	*slot = (uint32_t)v;
	return r;
}

static int take_xattr(struct tar_pax *pax, const struct record *rec, struct err *err)
{
	const char *name = rec->key + strlen(XATTR_PREFIX);
	if (!*name || strlen(name) > 255 || rec->len > TAR_XATTR_VALUE_MAX)
		return bad(err, rec);
	for (size_t i = 0; i < pax->n_xattrs; i++)
		if (str_eq(pax->xattrs[i].name, name))
			return err_set(err, ERR_INVALID, 0, "two PAX records %.64s", rec->key);
	if (pax->n_xattrs >= XATTRS_MAX)
		return err_set(err, ERR_INVALID, 0, "more than %u extended attributes", XATTRS_MAX);
	if (pax->n_xattrs == pax->cap_xattrs) {
		size_t cap = pax->cap_xattrs ? pax->cap_xattrs * 2 : 8;
		void *p = realloc(pax->xattrs, cap * sizeof(*pax->xattrs));
		if (!p)
			return err_set(err, ERR_SYSTEM, -ENOMEM, "read extended attributes");
		pax->xattrs = p;
		pax->cap_xattrs = cap;
	}
	pax->xattrs[pax->n_xattrs++] =
		(struct tar_xattr){ .name = name, .value = (const uint8_t *)rec->value, .len = rec->len };
	return 0;
}

static int add_piece(struct tar_pax *pax, const struct record *rec, uint64_t offset, uint64_t length, struct err *err)
{
	int r = tar_pax_add_piece(pax, offset, length);
	if (r < 0)
		return err_set(err, r == -ENOMEM ? ERR_SYSTEM : ERR_INVALID, r, "too many pieces in %s", rec->key);
	return 0;
}

/* 0.1: "offset,length,offset,length". */
static int take_sparse_map(struct tar_pax *pax, const struct record *rec, struct err *err)
{
	const char *p = rec->value, *end = p + rec->len;
	if (pax->n_pieces)
		return bad(err, rec);
	while (p < end) {
		uint64_t v[2];
		for (int i = 0; i < 2; i++) {
			const char *comma = memchr(p, ',', (size_t)(end - p));
			const char *stop = comma ? comma : end;
			if (tar_number_decimal(p, (size_t)(stop - p), &v[i]) < 0 || (i == 0 && !comma))
				return bad(err, rec);
			p = comma ? comma + 1 : end;
			if (i == 1 && comma && p == end)
				return bad(err, rec);
		}
		int r = add_piece(pax, rec, v[0], v[1], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_sparse(struct tar_pax *pax, const struct record *rec, struct err *err)
{
	const char *key = rec->key + strlen(SPARSE_PREFIX);
	bool seen = false;
	uint64_t v = 0;
	int r;

	pax->has_sparse = true;
	if (str_eq(key, "name"))
		return take_text(rec, &pax->sparse_name, err);
	if (str_eq(key, "map"))
		return take_sparse_map(pax, rec, err);
	if (str_eq(key, "size") || str_eq(key, "realsize"))
		return take_u64(rec, &pax->has_sparse_size, INT64_MAX, &pax->sparse_size, err);
	if (str_eq(key, "numblocks"))
		return take_u64(rec, &pax->has_sparse_count, TAR_SPARSE_MAX, &pax->sparse_count, err);
	r = take_u64(rec, &seen, INT64_MAX, &v, err);
	if (r < 0 || !seen)
		return r < 0 ? r : bad(err, rec);
	if (str_eq(key, "major")) {
		pax->sparse_major = v;
	} else if (str_eq(key, "minor")) {
		pax->sparse_minor = v;
	} else if (str_eq(key, "offset")) {
		if (pax->half_piece)
			return bad(err, rec);
		pax->half_piece = true;
		return add_piece(pax, rec, v, 0, err);
	} else if (str_eq(key, "numbytes")) {
		if (!pax->half_piece)
			return bad(err, rec);
		pax->half_piece = false;
		pax->pieces[pax->n_pieces - 1].length = v;
	} else {
		return bad(err, rec);
	}
	return 0;
}

static int take_record(struct tar_pax *pax, const struct record *rec, bool is_global, struct err *err)
{
	static const char *const meaningful[] = { "path", "linkpath", "size", "uid", "gid", "mtime" };
	bool xattr = str_starts_with(rec->key, XATTR_PREFIX), sparse = str_starts_with(rec->key, SPARSE_PREFIX);
	bool known = xattr || sparse;
	for (size_t i = 0; i < ARRAY_LEN(meaningful); i++)
		known = known || str_eq(rec->key, meaningful[i]);
	if (!known)
		return 0;
	if (is_global)
		return err_set(err, ERR_INVALID, 0, "global PAX record %.64s", rec->key);
	if (xattr)
		return take_xattr(pax, rec, err);
	if (sparse)
		return take_sparse(pax, rec, err);
	switch (rec->key[0]) {
	case 'p':
		return take_text(rec, &pax->path, err);
	case 'l':
		return take_text(rec, &pax->link, err);
	case 's':
		return take_u64(rec, &pax->has_size, INT64_MAX, &pax->size, err);
	case 'u':
		return take_u32(rec, &pax->has_uid, &pax->uid, err);
	case 'g':
		return take_u32(rec, &pax->has_gid, &pax->gid, err);
	default:
		if (!rec->len)
			return 0;
		if (tar_number_time(rec->value, rec->len, &pax->mtime_sec, &pax->mtime_nsec) < 0)
			return bad(err, rec);
		pax->has_mtime = true;
		return 0;
	}
}

int tar_pax_parse(struct tar_pax *pax, bool is_global, struct err *err)
{
	/* An empty header has no memory at all. */
	char *p = pax->text.data, *end = p ? p + pax->text.len : NULL;
	while (p < end) {
		char *space = memchr(p, ' ', (size_t)(end - p));
		uint64_t len = 0;
		/* The length counts its own digits, the blank and the newline. */
		if (!space || tar_number_decimal(p, (size_t)(space - p), &len) < 0 || len > (uint64_t)(end - p) ||
		    len < (uint64_t)(space - p) + 4 || p[len - 1] != '\n')
			return err_set(err, ERR_INVALID, 0, "malformed PAX header");
		char *next = p + len;
		char *equals = memchr(space + 1, '=', (size_t)(next - 1 - (space + 1)));
		if (!equals || equals == space + 1 || memchr(space + 1, 0, (size_t)(equals - space - 1)))
			return err_set(err, ERR_INVALID, 0, "malformed PAX header");
		*equals = '\0';
		next[-1] = '\0';
		struct record rec = { space + 1, equals + 1, (size_t)(next - 1 - (equals + 1)) };
		int r = take_record(pax, &rec, is_global, err);
		if (r < 0)
			return r;
		p = next;
	}
	if (pax->half_piece)
		return err_set(err, ERR_INVALID, 0, "bad PAX record GNU.sparse.offset");
	return 0;
}
