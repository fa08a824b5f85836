/* SPDX-License-Identifier: Apache-2.0 */
/* The name server's journal through deaths: what is mapped is unmapped, and nothing
 * else is done, as when a server is killed. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "journal.h"
#include "str.h"
#include "test.h"

static struct journal_file j;
static struct orphan *orphans;

static void begin(int dir)
{
	CHECK_EQ(journal_open(dir, &j, &orphans), 0);
	CHECK(j.fd >= 0);
}

static void forget(void)
{
	while (orphans) {
		struct orphan *next = orphans->next;
		free(orphans);
		orphans = next;
	}
}

static void die(void)
{
	munmap(j.map, sizeof(*j.map));
	close(j.fd);
	forget();
}

static size_t count(void)
{
	size_t n = 0;
	for (struct orphan *o = orphans; o; o = o->next)
		n++;
	return n;
}

static void ask(size_t slot, const char *text)
{
	static const char id[NAMES_ID_SIZE] = "web";
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = 7 };
	journal_write(&j, slot, id, &from, (const uint8_t *)text, strlen(text));
}

static bool has(const char *text)
{
	for (struct orphan *o = orphans; o; o = o->next)
		if (o->len == strlen(text) && memcmp(o->data, text, o->len) == 0 && str_eq(o->id, "web") && o->from.sin_port == 7)
			return true;
	return false;
}

static int open_dir(void)
{
	int dir = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	return dir;
}

TEST(what_was_asked_is_found_until_it_is_answered)
{
	CLEANUP_FD int dir = open_dir();
	begin(dir);
	CHECK_EQ(count(), 0);
	ask(0, "one");
	ask(1, "two");
	ask(2, "answered");
	journal_free(&j, 2);
	/* A batch that was being worked at. */
	memcpy(j.map->batch_id, "web", 4);
	memcpy(j.map->batch_data[3], "three", 5);
	j.map->batch_from[3] = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = 7 };
	j.map->batch[3].msg_len = 5;
	die();
	/* Killed before any of it was answered, again and again. */
	for (int i = 0; i < 3; i++) {
		begin(dir);
		CHECK_EQ(count(), 3);
		CHECK(has("one") && has("two") && has("three"));
		die();
	}
	begin(dir);
	ask(0, "four");
	for (struct orphan *o = orphans; o; o = o->next)
		if (memcmp(o->data, "one", 3) == 0)
			journal_answered(&j, o);
	die();
	begin(dir);
	CHECK_EQ(count(), 3);
	CHECK(has("two") && has("three") && has("four"));
	for (struct orphan *o = orphans; o; o = o->next)
		journal_answered(&j, o);
	die();
	begin(dir);
	CHECK_EQ(count(), 0);
	die();
	CHECK(faccessat(dir, "names.journal.new", F_OK, 0) < 0);
}

TEST(killed_before_the_new_file_was_whole)
{
	CLEANUP_FD int dir = open_dir();
	begin(dir);
	ask(0, "one");
	die();
	CLEANUP_FD int half = openat(dir, "names.journal.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(write(half, "half", 4), 4);
	begin(dir);
	CHECK_EQ(count(), 1);
	die();
}

TEST(an_old_question_is_dropped)
{
	CLEANUP_FD int dir = open_dir();
	begin(dir);
	ask(0, "old");
	ask(1, "of the future");
	ask(2, "new");
	j.map->forward[0].at_ns -= 11000000000LL;
	j.map->forward[1].at_ns += 11000000000LL;
	die();
	begin(dir);
	CHECK_EQ(count(), 1);
	CHECK(has("new"));
	die();
}

TEST(more_than_fit_leave_room_for_new_ones)
{
	CLEANUP_FD int dir = open_dir();
	begin(dir);
	for (size_t i = 0; i < FORWARDS_MAX; i++)
		ask(i, "many");
	die();
	begin(dir);
	CHECK_EQ(count(), FORWARDS_MAX);
	ask(0, "new");
	ask(FORWARDS_MAX - 1, "beyond");
	journal_free(&j, FORWARDS_MAX - 1);
	die();
	begin(dir);
	CHECK(count() > FORWARDS_MAX / 2 && count() < FORWARDS_MAX);
	CHECK(has("new") && !has("beyond"));
	die();
}

TEST(what_is_no_journal_is_replaced)
{
	CLEANUP_FD int dir = open_dir();
	CLEANUP_FD int fd = openat(dir, "names.journal", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(ftruncate(fd, sizeof(struct journal)), 0);
	begin(dir);
	CHECK_EQ(count(), 0);
	memset(j.map->forward, 0xff, 16 * sizeof(j.map->forward[0]));
	memset(j.map->batch_id, 0xff, sizeof(j.map->batch_id));
	j.map->batch[0].msg_len = 4;
	die();
	begin(dir);
	CHECK_EQ(count(), 0);
	die();
}

TEST_MAIN()
