/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_index.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "str.h"

#define MEMBERS_MAX 100000
#define LONG_MAX_BYTES 65536
#define BLOCK 512
#define LINKS_MAX 8

/* Offsets in a header block (POSIX.1-1988 ustar). */
enum { H_NAME = 0, H_SIZE = 124, H_CHECKSUM = 148, H_TYPE = 156, H_LINK = 157, H_MAGIC = 257, H_PREFIX = 345 };

/* What extension headers say about the next member. */
struct pending {
	char *name, *link;
	int64_t size; /* -1: not said */
};

static void pending_done(struct pending *p)
{
	free(p->name);
	free(p->link);
	*p = (struct pending){ .size = -1 };
}

static int read_at(int fd, void *data, size_t len, int64_t offset, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)data + done, len - done, offset + (int64_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read the archive");
		if (n == 0)
			return err_set(err, ERR_INVALID, 0, "the archive is cut short");
		done += (size_t)n;
	}
	return 0;
}

static int64_t read_number(const unsigned char *s, size_t len)
{
	int64_t v = 0;
	if (s[0] & 0x80) {
		for (size_t i = 0; i < len; i++) {
			if (v > INT64_MAX >> 8)
				return -1;
			v = v << 8 | (i == 0 ? s[i] & 0x7f : s[i]);
		}
		return v;
	}
	size_t i = 0;
	while (i < len && s[i] == ' ')
		i++;
	for (; i < len && s[i] && s[i] != ' '; i++) {
		if (s[i] < '0' || s[i] > '7' || v > INT64_MAX >> 3)
			return -1;
		v = v << 3 | (s[i] - '0');
	}
	return v;
}

static bool is_header(const unsigned char *h)
{
	int64_t sum = 0;
	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= H_CHECKSUM && i < H_CHECKSUM + 8 ? ' ' : h[i];
	return read_number(h + H_CHECKSUM, 8) == sum;
}

/* "./a//b/../c/" to "a/c"; what climbs above the top stays at the top. */
static char *normalise(const char *base, size_t base_len, const char *name)
{
	CLEANUP_STRV struct strv parts = { 0 }, out = { 0 };
	CLEANUP_FREE char *whole = str_printf("%.*s/%s", (int)base_len, base, name);
	strv_split(&parts, whole, '/');
	for (size_t i = 0; i < parts.n; i++) {
		if (!parts.v[i][0] || str_eq(parts.v[i], "."))
			continue;
		if (!str_eq(parts.v[i], ".."))
			strv_add(&out, parts.v[i]);
		else if (out.n) {
			free(out.v[--out.n]);
			out.v[out.n] = NULL;
		}
	}
	return out.n ? strv_join(&out, "/") : str_dup("");
}

/* "27 path=some/name\n" records. */
static int read_pax(const char *s, size_t len, struct pending *p, struct err *err)
{
	while (len) {
		size_t record = 0, digits = 0;
		while (digits < len && s[digits] >= '0' && s[digits] <= '9' && record < LONG_MAX_BYTES)
			record = record * 10 + (size_t)(s[digits++] - '0');
		const char *eq = memchr(s, '=', len);
		if (digits == 0 || record > len || record <= digits + 2 || s[digits] != ' ' || !eq ||
		    eq >= s + record || s[record - 1] != '\n')
			return err_set(err, ERR_INVALID, 0, "the archive has a malformed extended header");
		const char *key = s + digits + 1;
		size_t key_len = (size_t)(eq - key);
		char *value = str_ndup(eq + 1, (size_t)(s + record - 1 - (eq + 1)));
		if (key_len == 4 && !memcmp(key, "path", 4)) {
			free(p->name);
			p->name = TAKE_PTR(value);
		} else if (key_len == 8 && !memcmp(key, "linkpath", 8)) {
			free(p->link);
			p->link = TAKE_PTR(value);
		} else if (key_len == 4 && !memcmp(key, "size", 4)) {
			uint64_t size = 0;
			if (str_parse_u64_max(value, INT64_MAX, &size) < 0) {
				free(value);
				return err_set(err, ERR_INVALID, 0, "the archive has a malformed size");
			}
			p->size = (int64_t)size;
		}
		free(value);
		s += record;
		len -= record;
	}
	return 0;
}

static int read_extension(int fd, char type, int64_t offset, int64_t size, struct pending *p, struct err *err)
{
	if (size > LONG_MAX_BYTES)
		return err_set(err, ERR_INVALID, 0, "the archive has a name longer than %d bytes", LONG_MAX_BYTES);
	CLEANUP_FREE char *data = mem_calloc(1, (size_t)size + 1);
	int r = read_at(fd, data, (size_t)size, offset, err);
	if (r < 0 || type == 'g')
		return r;
	if (type == 'x')
		return read_pax(data, (size_t)size, p, err);
	char **where = type == 'L' ? &p->name : &p->link;
	free(*where);
	*where = TAKE_PTR(data);
	return 0;
}

static int add_member(struct tar_index *index, const unsigned char *h, const struct pending *p, int64_t offset,
		      int64_t size, struct err *err)
{
	if (index->n >= MEMBERS_MAX)
		return err_set(err, ERR_INVALID, 0, "the archive has more than %d members", MEMBERS_MAX);
	if ((index->n & (index->n - 1)) == 0) {
		size_t cap = index->n ? index->n * 2 : 1;
		struct tar_member *more = reallocarray(index->members, cap, sizeof(*more));
		if (!more)
			return err_set(err, ERR_SYSTEM, -ENOMEM, "read the archive");
		index->members = more;
	}
	struct tar_member *m = &index->members[index->n++];
	*m = (struct tar_member){ .offset = offset, .size = size };
	bool has_prefix = memcmp(h + H_MAGIC, "ustar\0", 6) == 0 && h[H_PREFIX];
	CLEANUP_FREE char *name = p->name ? str_dup(p->name)
			       : has_prefix
				       ? str_printf("%.155s/%.100s", (const char *)h + H_PREFIX, (const char *)h + H_NAME)
				       : str_ndup((const char *)h + H_NAME, strnlen((const char *)h + H_NAME, 100));
	m->name = normalise("", 0, name);
	if (h[H_TYPE] != '1' && h[H_TYPE] != '2')
		return 0;
	CLEANUP_FREE char *link = p->link ? str_dup(p->link)
					  : str_ndup((const char *)h + H_LINK, strnlen((const char *)h + H_LINK, 100));
	const char *slash = strrchr(m->name, '/');
	/* A symbolic link starts at its own directory, a hard link at the top. */
	m->link = normalise(m->name, h[H_TYPE] == '2' && slash ? (size_t)(slash - m->name) : 0, link);
	return 0;
}

static int read_members(int fd, int64_t length, struct tar_index *index, struct err *err)
{
	CLEANUP(pending_done) struct pending pending = { .size = -1 };
	unsigned char h[BLOCK];
	for (int64_t at = 0; at + BLOCK <= length;) {
		int r = read_at(fd, h, BLOCK, at, err);
		if (r < 0)
			return r;
		if (!h[0] && read_number(h + H_CHECKSUM, 8) == 0)
			return 0;
		int64_t size = read_number(h + H_SIZE, 12);
		if (!is_header(h) || size < 0)
			return err_set(err, ERR_INVALID, 0, "not a tar archive, or a damaged one");
		bool is_extension = h[H_TYPE] && strchr("xgLK", h[H_TYPE]);
		if (!is_extension && pending.size >= 0)
			size = pending.size;
		at += BLOCK;
		if (size > length - at)
			return err_set(err, ERR_INVALID, 0, "the archive is cut short");
		r = is_extension ? read_extension(fd, (char)h[H_TYPE], at, size, &pending, err)
				 : add_member(index, h, &pending, at, size, err);
		if (r < 0)
			return r;
		if (!is_extension)
			pending_done(&pending);
		at += (size + BLOCK - 1) / BLOCK * BLOCK;
	}
	return 0;
}

int tar_index_read(int fd, struct tar_index *ret, struct err *err)
{
	CLEANUP_TAR_INDEX struct tar_index index = { 0 };
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at the archive");
	int r = read_members(fd, st.st_size, &index, err);
	if (r < 0)
		return r;
	if (index.n == 0)
		return err_set(err, ERR_INVALID, 0, "the archive is empty");
	*ret = index;
	index = (struct tar_index){ 0 };
	return 0;
}

void tar_index_done(struct tar_index *index)
{
	for (size_t i = 0; i < index->n; i++) {
		free(index->members[i].name);
		free(index->members[i].link);
	}
	free(index->members);
	*index = (struct tar_index){ 0 };
}

const struct tar_member *tar_index_find(const struct tar_index *index, const char *name)
{
	CLEANUP_FREE char *wanted = normalise("", 0, name);
	for (unsigned hops = 0; hops < LINKS_MAX; hops++) {
		const struct tar_member *found = NULL;
		for (size_t i = index->n; i > 0 && !found; i--)
			if (str_eq(index->members[i - 1].name, wanted))
				found = &index->members[i - 1];
		if (!found || !found->link)
			return found;
		free(wanted);
		wanted = str_dup(found->link);
	}
	return NULL;
}

int tar_index_load(int fd, const struct tar_index *index, const char *name, struct buf *out, struct err *err)
{
	const struct tar_member *m = tar_index_find(index, name);
	if (!m)
		return err_set(err, ERR_NOT_FOUND, 0, "the archive has no %s", name);
	if ((uint64_t)m->size > out->max - out->len || buf_reserve(out, (size_t)m->size) < 0)
		return err_set(err, ERR_INVALID, 0, "%s in the archive is too large", name);
	CLEANUP_FREE char *data = mem_calloc(1, (size_t)m->size + 1);
	int r = read_at(fd, data, (size_t)m->size, m->offset, err);
	if (r < 0)
		return r;
	r = buf_append(out, data, (size_t)m->size);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read %s", name) : 0;
}
