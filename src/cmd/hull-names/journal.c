/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "str.h"

#define JOURNAL_FILE "names.journal"
#define JOURNAL_MAGIC 0x6a6e7568u
#define SLOTS_AT_ONCE 16

static void keep(struct orphan **list, const char *id, const struct sockaddr_in *from, const uint8_t *data, uint32_t len)
{
	if (len == 0 || len > QUERY_MAX || !memchr(id, '\0', NAMES_ID_SIZE))
		return;
	struct orphan *o = mem_calloc(1, sizeof(*o) + len);
	memcpy(o->id, id, NAMES_ID_SIZE);
	o->from = *from;
	o->len = len;
	memcpy(o->data, data, len);
	o->next = *list;
	*list = o;
}

static void collect(const struct journal *j, struct orphan **ret)
{
	for (size_t i = 0; i < BATCH_MAX && j->batch_id[0]; i++)
		keep(ret, j->batch_id, &j->batch_from[i], j->batch_data[i], j->batch[i].msg_len);
	for (size_t i = 0; i < FORWARDS_MAX; i++)
		keep(ret, j->forward[i].id, &j->forward[i].from, j->forward[i].data, j->forward[i].len);
}

/* A page without room behind it would end the process when it is written to. */
static bool has_room(int fd, size_t from, size_t to)
{
	return fallocate(fd, 0, (off_t)from, (off_t)(to - from)) == 0;
}

static int map_file(int fd, struct journal **ret, struct orphan **ret_orphans)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	bool was_there = st.st_size == (off_t)sizeof(struct journal);
	if (!was_there && (ftruncate(fd, 0) < 0 || ftruncate(fd, sizeof(struct journal)) < 0))
		return -errno;
	struct journal *j = mmap(NULL, sizeof(*j), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (j == MAP_FAILED)
		return -errno;
	/* Of another version: of no use. */
	if (was_there && j->magic == JOURNAL_MAGIC && j->size == sizeof(*j))
		collect(j, ret_orphans);
	/* A hole again: memory that nobody uses. */
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, sizeof(*j)) < 0 || !has_room(fd, 0, offsetof(struct journal, forward))) {
		int r = -errno;
		munmap(j, sizeof(*j));
		return r;
	}
	*ret = j;
	return 0;
}

int journal_open(int run_dirfd, struct journal_file *ret, struct orphan **ret_orphans)
{
	CLEANUP_FD int fd = openat(run_dirfd, JOURNAL_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	*ret = (struct journal_file){ .fd = -1 };
	*ret_orphans = NULL;
	if (fd >= 0 && map_file(fd, &ret->map, ret_orphans) == 0) {
		ret->fd = TAKE_FD(fd);
	} else {
		ret->map = mmap(NULL, sizeof(*ret->map), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (ret->map == MAP_FAILED)
			return -errno;
	}
	ret->map->magic = JOURNAL_MAGIC;
	ret->map->size = sizeof(*ret->map);
	return 0;
}

void journal_write(struct journal_file *j, size_t i, const char *id, const struct sockaddr_in *from, const uint8_t *data, size_t len)
{
	struct journal_slot *slot = &j->map->forward[i];
	if (i >= j->slots) {
		size_t end = i + SLOTS_AT_ONCE < FORWARDS_MAX ? i + SLOTS_AT_ONCE : FORWARDS_MAX;
		if (j->fd < 0 || !has_room(j->fd, offsetof(struct journal, forward[j->slots]), offsetof(struct journal, forward[end])))
			return; /* this one is lost if we are killed */
		j->slots = end;
	}
	memcpy(slot->id, id, NAMES_ID_SIZE);
	slot->from = *from;
	memcpy(slot->data, data, len);
	__atomic_store_n(&slot->len, (uint32_t)len, __ATOMIC_RELEASE);
}

void journal_free(struct journal_file *j, size_t i)
{
	if (i < j->slots)
		j->map->forward[i].len = 0;
}
