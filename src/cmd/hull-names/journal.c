/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"

#define JOURNAL_FILE "names.journal"
#define JOURNAL_NEW JOURNAL_FILE ".new"
#define JOURNAL_MAGIC 0x6a6e7569u
/* As long as a question is worth an answer. */
#define PATIENCE_NS 10000000000LL
#define SLOTS_AT_ONCE 16

static void keep(struct orphan **list, const char *id, const struct sockaddr_in *from, const uint8_t *data, uint32_t len, int64_t at_ns)
{
	if (len == 0 || len > QUERY_MAX || !memchr(id, '\0', NAMES_ID_SIZE))
		return;
	struct orphan *o = mem_calloc(1, sizeof(*o) + len);
	memcpy(o->id, id, NAMES_ID_SIZE);
	o->from = *from;
	o->slot = FORWARDS_MAX;
	o->at_ns = at_ns;
	o->len = len;
	memcpy(o->data, data, len);
	o->next = *list;
	*list = o;
}

static void collect(const struct journal *j, int64_t now_ns, struct orphan **ret)
{
	for (size_t i = 0; i < BATCH_MAX && j->batch_id[0]; i++)
		keep(ret, j->batch_id, &j->batch_from[i], j->batch_data[i], j->batch[i].msg_len, now_ns);
	for (size_t i = 0; i < FORWARDS_MAX; i++) {
		const struct journal_slot *slot = &j->forward[i];
		/* Who asked so long ago has given up; the container may have gone, too. */
		if (slot->at_ns <= now_ns && now_ns - slot->at_ns < PATIENCE_NS)
			keep(ret, slot->id, &slot->from, slot->data, slot->len, slot->at_ns);
	}
}

/* A page without room behind it would end the process when it is written to. */
static bool has_room(int fd, size_t from, size_t to)
{
	return fallocate(fd, 0, (off_t)from, (off_t)(to - from)) == 0;
}

static void read_orphans(int fd, int64_t now_ns, struct orphan **ret)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct journal))
		return;
	const struct journal *j = mmap(NULL, sizeof(*j), PROT_READ, MAP_SHARED, fd, 0);
	if (j == MAP_FAILED)
		return;
	/* Of another version: of no use. */
	if (j->magic == JOURNAL_MAGIC && j->size == sizeof(*j))
		collect(j, now_ns, ret);
	munmap((void *)(uintptr_t)j, sizeof(*j));
}

static void fill(struct journal_slot *slot, const char id[NAMES_ID_SIZE], const struct sockaddr_in *from, const uint8_t *data, size_t len, int64_t at_ns)
{
	memcpy(slot->id, id, NAMES_ID_SIZE);
	slot->from = *from;
	slot->at_ns = at_ns;
	memcpy(slot->data, data, len);
	__atomic_store_n(&slot->len, (uint32_t)len, __ATOMIC_RELEASE);
}

/* In the last slots, which a server that is not very busy does not come to. */
static void keep_orphans(int fd, struct journal_file *j, struct orphan *orphans)
{
	for (struct orphan *o = orphans; o && j->orphans_from > FORWARDS_MAX / 2; o = o->next) {
		size_t i = j->orphans_from - 1;
		if (!has_room(fd, offsetof(struct journal, forward[i]), offsetof(struct journal, forward[i]) + sizeof(struct journal_slot)))
			return; /* lost, should this server be killed, too */
		fill(&j->map->forward[i], o->id, &o->from, o->data, o->len, o->at_ns);
		o->slot = j->orphans_from = i;
	}
}

static int map_new(int fd, struct journal_file *ret, struct orphan *orphans)
{
	/* Holes: memory that nobody uses. */
	if (ftruncate(fd, sizeof(struct journal)) < 0 || !has_room(fd, 0, offsetof(struct journal, forward)))
		return -errno;
	ret->map = mmap(NULL, sizeof(*ret->map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ret->map == MAP_FAILED)
		return -errno;
	keep_orphans(fd, ret, orphans);
	ret->map->magic = JOURNAL_MAGIC;
	ret->map->size = sizeof(*ret->map);
	return 0;
}

int journal_open(int run_dirfd, struct journal_file *ret, struct orphan **ret_orphans)
{
	int64_t now_ns = clock_mono_ns();
	CLEANUP_FD int old = openat(run_dirfd, JOURNAL_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP_FD int fd = openat(run_dirfd, JOURNAL_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	*ret = (struct journal_file){ .fd = -1, .orphans_from = FORWARDS_MAX };
	*ret_orphans = NULL;
	if (old >= 0)
		read_orphans(old, now_ns, ret_orphans);
	/* Whole or not at all: somebody may kill us here as well. */
	if (fd >= 0 && map_new(fd, ret, *ret_orphans) == 0 && renameat(run_dirfd, JOURNAL_NEW, run_dirfd, JOURNAL_FILE) == 0) {
		ret->fd = TAKE_FD(fd);
		return 0;
	}
	if (ret->map && ret->map != MAP_FAILED)
		munmap(ret->map, sizeof(*ret->map));
	(void)unlinkat(run_dirfd, JOURNAL_NEW, 0);
	(void)unlinkat(run_dirfd, JOURNAL_FILE, 0);
	ret->map = mmap(NULL, sizeof(*ret->map), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ret->map == MAP_FAILED)
		return -errno;
	ret->orphans_from = FORWARDS_MAX;
	for (struct orphan *o = *ret_orphans; o; o = o->next)
		o->slot = FORWARDS_MAX;
	return 0;
}

void journal_write(struct journal_file *j, size_t i, const char id[NAMES_ID_SIZE], const struct sockaddr_in *from, const uint8_t *data, size_t len)
{
	if (i >= j->orphans_from)
		return;
	if (i >= j->slots) {
		size_t end = i + SLOTS_AT_ONCE < FORWARDS_MAX ? i + SLOTS_AT_ONCE : FORWARDS_MAX;
		if (j->fd < 0 || !has_room(j->fd, offsetof(struct journal, forward[j->slots]), offsetof(struct journal, forward[end])))
			return; /* this one is lost if we are killed */
		j->slots = end;
	}
	fill(&j->map->forward[i], id, from, data, len, clock_mono_ns());
}

void journal_free(struct journal_file *j, size_t i)
{
	if (i < j->slots && i < j->orphans_from)
		j->map->forward[i].len = 0;
}

void journal_answered(struct journal_file *j, const struct orphan *orphan)
{
	if (orphan->slot < FORWARDS_MAX)
		j->map->forward[orphan->slot].len = 0;
}
