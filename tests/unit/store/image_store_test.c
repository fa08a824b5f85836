/* SPDX-License-Identifier: Apache-2.0 */
#include "image_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "digest.h"
#include "fd.h"
#include "test.h"

static struct store *open_store(void)
{
	struct err err = ERR_INIT;
	struct store *store = NULL;
	CLEANUP_FREE char *root = str_printf("%s/root", test_tmpdir()), *run = str_printf("%s/run", test_tmpdir());
	setenv("HULL_ROOT", root, 1);
	setenv("HULL_RUN", run, 1);
	if (store_open(NULL, &store, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return store;
}

/* An image of one "layer" (any file does as long as nobody mounts it). */
static void add(struct store *store, const char *layer_text, const char *comment, const char *tag, char id[72])
{
	struct err err = ERR_INIT;
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	CHECK_EQ(ingest_begin(store, &ingest, &err), 0);
	struct layer_new layer = { .file = "l.erofs", .content_bytes = 100, .tar_bytes = 200 };
	digest_of(layer_text, strlen(layer_text), layer.diffid);
	CHECK_EQ(fd_replace_file_at(ingest.dir_fd, "l.erofs", layer_text, strlen(layer_text), 0600, false), 0);
	CLEANUP_FREE char *config = str_printf("{\"architecture\":\"amd64\",\"comment\":\"%s\",\"os\":\"linux\","
					       "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
					       comment, layer.diffid);
	struct image_new image = {
		.config = config, .config_len = strlen(config), .layers = &layer, .layers_n = 1, .tag = tag
	};
	if (image_add(store, &ingest, &image, id, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
}

static unsigned count_files(struct store *store, const char *folder)
{
	unsigned n = 0;
	CLEANUP_FREE char *path = str_printf("%s/%s", store->root, folder);
	CLEANUP_DIR DIR *dir = opendir(path);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	return n;
}

TEST(resolved_by_name_id_and_prefix)
{
	CLEANUP_STORE struct store *store = open_store();
	struct err err = ERR_INIT;
	char id[72], found[72];
	add(store, "one", "a", "docker.io/library/debian:latest", id);
	const char *const names[] = { "debian", "debian:latest", "docker.io/library/debian", id, id + 7, NULL };
	for (size_t i = 0; names[i]; i++) {
		CHECK_EQ(image_resolve_id(store, names[i], found, &err), 0);
		CHECK_STR(found, id);
	}
	CLEANUP_FREE char *prefix = str_ndup(id + 7, 12);
	CHECK_EQ(image_resolve_id(store, prefix, found, &err), 0);
	CHECK(image_resolve_id(store, "nosuch", found, &err) < 0);
	CHECK_STR(err.msg, "No such image: nosuch:latest");
	CHECK_EQ(err.kind, ERR_NOT_FOUND);
	CHECK(image_resolve_id(store, "A:", found, &err) < 0);
	CHECK_EQ(err.kind, ERR_INVALID);
}

TEST(shared_layer_stays_until_its_last_image_goes)
{
	CLEANUP_STORE struct store *store = open_store();
	CLEANUP_STRV struct strv report = { 0 };
	struct err err = ERR_INIT;
	char a[72], b[72];
	add(store, "one", "a", "docker.io/library/a:1", a);
	add(store, "one", "b", "docker.io/library/b:1", b);
	CHECK_EQ(count_files(store, "layers"), 1);
	CHECK_EQ(image_remove(store, "a:1", false, NULL, &report, &err), 0);
	CHECK_EQ(report.n, 2);
	CHECK_STR(report.v[0], "Untagged: a:1");
	CHECK_EQ(count_files(store, "layers"), 1);
	CHECK_EQ(image_remove(store, b, false, NULL, &report, &err), 0);
	CHECK_EQ(count_files(store, "layers"), 0);
	CHECK_EQ(count_files(store, "ingest"), 0);
}

static int used(void *ctx, const char *id, struct image_user *ret, struct err *err)
{
	const struct image_user *user = ctx;
	if (!user->container[0])
		return 0;
	*ret = *user;
	return 1;
}

TEST(images_in_use_are_kept)
{
	CLEANUP_STORE struct store *store = open_store();
	CLEANUP_STRV struct strv report = { 0 };
	struct err err = ERR_INIT;
	struct image_user user = { .container = "0123456789abcdef", .is_running = true };
	struct image_users users = { used, &user };
	char id[72], found[72];
	add(store, "one", "a", "docker.io/library/a:1", id);
	CHECK(image_remove(store, "a:1", false, &users, &report, &err) < 0);
	CHECK_EQ(err.kind, ERR_CONFLICT);
	CHECK(strstr(err.msg, "container 0123456789ab is using its referenced image") != NULL);
	CHECK(image_remove(store, id, true, &users, &report, &err) < 0);
	CHECK(strstr(err.msg, "cannot be forced") != NULL);
	user.is_running = false;
	CHECK(image_remove(store, id, false, &users, &report, &err) < 0);
	CHECK_EQ(image_remove(store, id, true, &users, &report, &err), 0);
	CHECK(image_resolve_id(store, "a:1", found, &err) < 0);
	CHECK(image_resolve_id(store, id, found, &err) < 0);
	/* The stopped container still has its layers, until it is removed. */
	CHECK_EQ(count_files(store, "layers"), 1);
	CHECK_EQ(image_collect(store, &users, &err), 0);
	CHECK_EQ(count_files(store, "layers"), 1);
	user.container[0] = '\0';
	CHECK_EQ(image_collect(store, &users, &err), 0);
	CHECK_EQ(count_files(store, "layers"), 0);
}

TEST(prune_takes_only_the_nameless)
{
	CLEANUP_STORE struct store *store = open_store();
	CLEANUP_STRV struct strv report = { 0 };
	struct err err = ERR_INIT;
	struct image_prune what = { 0 };
	int64_t freed = 0;
	char a[72], b[72];
	add(store, "one", "a", "docker.io/library/x:1", a);
	add(store, "two", "b", "docker.io/library/x:1", b);
	CHECK_EQ(image_prune(store, &what, NULL, &report, &freed, &err), 0);
	CHECK_EQ(freed, 3);
	CHECK_EQ(count_files(store, "layers"), 1);
	what.all = true;
	CHECK_EQ(image_prune(store, &what, NULL, &report, &freed, &err), 0);
	CHECK_EQ(count_files(store, "layers"), 0);
}

TEST(what_a_dead_process_left_is_removed_at_the_next_open)
{
	store_close(open_store());
	pid_t pid = fork();
	if (pid == 0) {
		struct store *store = open_store();
		struct err err = ERR_INIT;
		struct ingest ingest = INGEST_INIT;
		if (ingest_begin(store, &ingest, &err) < 0 ||
		    fd_replace_file_at(ingest.dir_fd, "partial", "x", 1, 0600, false) < 0 ||
		    /* Killed between the rename and the commit. */
		    fd_replace_file_at(store->root_fd,
				       "layers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.erofs",
				       "x", 1, 0600, false) < 0)
			_exit(1);
		_exit(0);
	}
	int status;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CLEANUP_STORE struct store *store = open_store();
	CHECK_EQ(count_files(store, "ingest"), 0);
	CHECK_EQ(count_files(store, "layers"), 0);
}

TEST(what_a_living_process_makes_is_left_alone)
{
	CLEANUP_STORE struct store *store = open_store();
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	struct err err = ERR_INIT;
	CHECK_EQ(ingest_begin(store, &ingest, &err), 0);
	store_close(open_store());
	CHECK_EQ(count_files(store, "ingest"), 1);
}

TEST(wrong_layer_is_refused)
{
	CLEANUP_STORE struct store *store = open_store();
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	struct err err = ERR_INIT;
	char id[72];
	CHECK_EQ(ingest_begin(store, &ingest, &err), 0);
	struct layer_new layer = { .file = "l.erofs" };
	digest_of("x", 1, layer.diffid);
	const char *config = "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:"
			     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"]}}";
	struct image_new image = { .config = config, .config_len = strlen(config), .layers = &layer, .layers_n = 1 };
	CHECK_EQ(image_add(store, &ingest, &image, id, &err), -EBADMSG);
	CHECK_EQ(count_files(store, "layers"), 0);
}

TEST_MAIN()
