/* SPDX-License-Identifier: Apache-2.0 */
/* A volume is its row: the folder is made after the row and goes after it. What
 * is to be removed is first renamed to volumes/.gone/, inside the transaction
 * that deletes the row; whoever comes next empties that folder. */
#include "volumes.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "clock.h"
#include "events.h"
#include "fault.h"
#include "fd.h"
#include "random.h"
#include "tree.h"
#include "volume_quota.h"

#define GONE "volumes/.gone"

void volume_free(struct volume *v)
{
	if (!v)
		return;
	free(v->name);
	free(v->driver);
	free(v->mountpoint);
	strv_free(&v->labels);
	strv_free(&v->options);
	strv_free(&v->users);
	free(v);
}

void volumes_list_free(struct volume **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		volume_free(list[i]);
	free(list);
}

static int check_name(const char *name, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(name);
	if (len > 1 && len < VOLUME_NAME_SIZE && !strchr("_.-", *name) && strspn(name, allowed) == len)
		return 0;
	if (len == 1)
		return err_set(err, ERR_INVALID, 0, "create %s: volume name is too short, names should be at least two alphanumeric characters",
			       name);
	return err_set(err, ERR_INVALID, 0,
		       "create %s: \"%s\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
		       name, name);
}

static int check_options(const struct strv *options, uint64_t *ret_size, struct err *err)
{
	bool has_device = false, has_type = false, has_more = false;
	for (size_t i = 0; options && i < options->n; i++) {
		const char *o = options->v[i];
		if (!str_starts_with(o, "type=") && !str_starts_with(o, "device=") && !str_starts_with(o, "o=") &&
		    !str_starts_with(o, "size="))
			return err_set(err, ERR_INVALID, 0, "create: invalid option: \"%.*s\"", (int)strcspn(o, "="), o);
		has_device |= str_starts_with(o, "device=");
		has_type |= str_starts_with(o, "type=");
		has_more |= str_starts_with(o, "o=");
	}
	if ((has_type || has_more) && !has_device)
		return err_set(err, ERR_INVALID, 0, "missing required option: \"device\"");
	if (has_device && !has_type)
		return err_set(err, ERR_INVALID, 0, "missing required option: \"type\"");
	int r = volume_quota_size(options, ret_size, err);
	if (r == 0 && *ret_size && has_device) {
		r = err_set(err, ERR_INVALID, 0, "create: size= is the limit of a volume of hull's own, not of the device that is mounted");
		err_hint(err, "where the file system has such an option: -o o=size=10m");
	}
	return r;
}

static int same_as_existing(struct engine *engine, const char *name, const char *options, struct err *err)
{
	CLEANUP_FREE char *known = NULL;
	int r = db_query_text(engine->db, &known, err, "SELECT options FROM volumes WHERE name = ?", "s", name);
	if (r < 0 || !*options || str_eq(known, options))
		return r < 0 ? r : 0;
	return err_set(err, ERR_CONFLICT, 0, "create %s: conflict: volume name must be unique: it exists with other options", name);
}

static int record(struct engine *engine, const char *action, const char *name, struct err *err)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	strv_add(&attributes, "driver=local");
	return event_record(engine, "volume", action, name, &attributes, err);
}

int volume_ensure(struct engine *engine, const struct volume_new *wanted, char ret_name[VOLUME_NAME_SIZE], struct err *err)
{
	static const struct strv none = { 0 };
	char made[ID_SIZE];
	const char *name = wanted->name;
	int r = 0;
	if (!name) {
		id_generate(made);
		name = made;
	}
	if (wanted->driver && *wanted->driver && !str_eq(wanted->driver, "local"))
		return err_set(err, ERR_NOT_FOUND, 0, "create %s: error looking up volume plugin %s: plugin \"%s\" not found", name,
			       wanted->driver, wanted->driver);
	uint64_t size = 0;
	r = check_name(name, err);
	if (r == 0)
		r = check_options(wanted->options, &size, err);
	if (r == 0 && size)
		r = volume_quota_check(engine, err);
	if (r < 0)
		return r;
	CLEANUP_FREE char *labels = wanted->name ? strv_join(wanted->labels ? wanted->labels : &none, "\n") :
						   str_dup("com.docker.volume.anonymous=");
	CLEANUP_FREE char *options = strv_join(wanted->options ? wanted->options : &none, "\n");
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err,
			   "INSERT OR IGNORE INTO volumes(name, driver, created_ns, labels, options, is_anonymous)"
			   " VALUES(?, 'local', ?, ?, ?, ?)", "sissi", name, clock_wall_ns(), labels, options, (int64_t)!wanted->name);
	bool is_new = r > 0;
	if (r == 0)
		r = same_as_existing(engine, name, options, err);
	else if (r > 0 && size)
		r = volume_quota_record(engine, name, err);
	else
		r = r > 0 ? 0 : r;
	if (r == 0 && is_new)
		r = record(engine, "create", name, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	if (r < 0)
		return r;
	return str_copy(ret_name, VOLUME_NAME_SIZE, name);
}

int volume_make_folders(struct engine *engine, const char *name, struct err *err)
{
	char path[VOLUME_NAME_SIZE + 32];
	int root = engine->store->root_fd, r;
	snprintf(path, sizeof(path), "volumes/%s", name);
	if ((mkdirat(root, "volumes", 0700) < 0 && errno != EEXIST) || (mkdirat(root, path, 0700) < 0 && errno != EEXIST))
		return err_set(err, ERR_SYSTEM, errno, "create volume %s", name);
	CLEANUP_FD int own = openat(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = own < 0 ? err_set(err, ERR_SYSTEM, -errno, "open volume %s", name) : volume_quota_apply(engine, name, own, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "volumes/%s/_data", name);
	/* Whatever the umask: those inside need not be root. */
	if (mkdirat(root, path, 0755) == 0)
		r = fchmodat(root, path, 0755, 0) < 0 ? -errno : 0;
	else
		r = errno == EEXIST ? 0 : -errno;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "create volume %s", name) : 0;
}

static int load_users(struct engine *engine, struct volume *v, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err, "SELECT DISTINCT container FROM container_volumes WHERE volume = ? ORDER BY 1", "s", v->name);
	while (r >= 0 && (r = db_next(row, err)) > 0)
		strv_add(&v->users, db_text(row, 0));
	return r < 0 ? r : 0;
}

static int list_where(struct engine *engine, const char *where, const char *name, struct volume ***ret, size_t *ret_n, struct err *err)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	CLEANUP_FREE char *sql = str_printf("SELECT name, driver, created_ns, labels, options, is_anonymous FROM volumes %s ORDER BY name", where);
	struct volume **list = NULL;
	size_t n = 0;
	int r = name ? db_query(engine->db, &row, err, sql, "s", name) : db_query(engine->db, &row, err, sql, "");
	while (r >= 0 && (r = db_next(row, err)) > 0) {
		list = reallocarray(list, n + 1, sizeof(*list));
		if (!list)
			abort();
		struct volume *v = list[n++] = mem_calloc(1, sizeof(*v));
		v->name = str_dup(db_text_or(row, 0, ""));
		v->driver = str_dup(db_text_or(row, 1, ""));
		v->created_ns = db_i64(row, 2);
		strv_split(&v->labels, db_text_or(row, 3, ""), '\n');
		strv_split(&v->options, db_text_or(row, 4, ""), '\n');
		v->is_anonymous = db_i64(row, 5) != 0;
		v->mountpoint = str_printf("%s/volumes/%s/_data", engine->root, v->name);
		r = load_users(engine, v, err);
	}
	if (r < 0) {
		volumes_list_free(list, n);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int volume_find(struct engine *engine, const char *name, struct volume **ret, struct err *err)
{
	struct volume **list = NULL;
	size_t n = 0;
	int r = list_where(engine, "WHERE name = ?", name, &list, &n, err);
	if (r == 0 && n == 0)
		r = err_set(err, ERR_NOT_FOUND, 0, "get %s: no such volume", name);
	if (r == 0)
		*ret = list[0];
	free(list);
	return r;
}

bool labels_match(const struct strv *labels, const char *wanted)
{
	size_t len = strlen(wanted);
	for (size_t i = 0; i < labels->n; i++)
		if (strncmp(labels->v[i], wanted, len) == 0 &&
		    (!labels->v[i][len] || (labels->v[i][len] == '=' && !strchr(wanted, '='))))
			return true;
	return false;
}

/* 1 matches, 0 not, or an error. */
static int matches_one(const struct volume *v, const char *pair, struct err *err)
{
	const char *eq = strchr(pair, '=');
	bool wanted;
	if (!eq)
		return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-f, --filter\" flag: invalid filter '%s'", pair, pair);
	if (str_starts_with(pair, "label!="))
		return !labels_match(&v->labels, eq + 1);
	if (str_starts_with(pair, "label="))
		return labels_match(&v->labels, eq + 1);
	if (str_starts_with(pair, "name="))
		return strstr(v->name, eq + 1) != NULL;
	if (str_starts_with(pair, "driver="))
		return str_eq(v->driver, eq + 1);
	if (str_starts_with(pair, "dangling=")) {
		if (str_parse_bool(eq + 1, &wanted) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid filter 'dangling=[%s]'", eq + 1);
		return (v->users.n == 0) == wanted;
	}
	return err_set(err, ERR_INVALID, 0, "invalid filter '%.*s'", (int)(eq - pair), pair);
}

/* Each key must be met by one of its values. */
static int matches(const struct volume *v, const struct volume_filter *filter, struct err *err)
{
	for (size_t i = 0; i < filter->pairs.n; i++) {
		const char *pair = filter->pairs.v[i];
		size_t key = strcspn(pair, "=");
		/* Labels must all be met. */
		bool is_label = str_starts_with(pair, "label");
		int any = 0;
		for (size_t j = 0; j < filter->pairs.n && any == 0; j++) {
			if (is_label ? j != i : strncmp(filter->pairs.v[j], pair, key + 1) != 0)
				continue;
			any = matches_one(v, filter->pairs.v[j], err);
		}
		if (any <= 0)
			return any;
	}
	return 1;
}

int volumes_list(struct engine *engine, const struct volume_filter *filter, struct volume ***ret, size_t *ret_n, struct err *err)
{
	struct volume **list = NULL;
	size_t n = 0, kept = 0;
	/* A bad filter is told also when there is no volume. */
	struct volume nothing = { .name = (char *)"", .driver = (char *)"" };
	int r = matches(&nothing, filter, err);
	if (r >= 0)
		r = list_where(engine, "", NULL, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = matches(list[i], filter, err);
		if (r > 0)
			list[kept++] = list[i];
		else
			volume_free(list[i]);
	}
	if (r < 0)
		return r;
	*ret = list;
	*ret_n = kept;
	return 0;
}

/* ---- removal ---- */

static int rename_away(struct engine *engine, const char *name)
{
	char from[VOLUME_NAME_SIZE + 32], to[VOLUME_NAME_SIZE + 64], unique[17];
	int root = engine->store->root_fd;
	random_hex(unique, 16);
	snprintf(from, sizeof(from), "volumes/%s", name);
	snprintf(to, sizeof(to), GONE "/%s-%s", name, unique);
	/* Another process may have just removed the folder. */
	for (int attempt = 0; attempt < 100; attempt++) {
		if (mkdirat(root, GONE, 0700) < 0 && errno != EEXIST)
			return -errno;
		if (renameat(root, from, root, to) == 0)
			return 0;
		if (errno != ENOENT)
			return -errno;
		if (faccessat(root, from, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
	}
	return -EAGAIN;
}

/* Inside a transaction. */
static int forget(struct engine *engine, const char *name, struct err *err)
{
	/* A file system that the driver mounted there. */
	CLEANUP_FREE char *data = str_printf("%s/volumes/%s/_data", engine->root, name);
	while (umount2(data, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	int r = rename_away(engine, name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "remove volume %s", name);
	r = volume_quota_forget(engine, name, err);
	if (r == 0)
		r = db_run(engine->db, err, "DELETE FROM volumes WHERE name = ?", "s", name);
	return r < 0 ? r : record(engine, "destroy", name, err);
}

/* Before their files go: what is killed here is found once more. */
static void release_limits(int gone)
{
	CLEANUP_DIR DIR *dir = gone < 0 ? NULL : fdopendir(gone);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		CLEANUP_FD int fd = openat(gone, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			volume_quota_release(fd);
	}
}

int volumes_sweep(struct engine *engine, struct err *err)
{
	if (faccessat(engine->store->root_fd, GONE, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	release_limits(openat(engine->store->root_fd, GONE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	int r = fd_remove_tree_at(engine->store->root_fd, GONE);
	/* Somebody else adds to it: theirs to remove. */
	return r < 0 && r != -ENOTEMPTY ? err_set(err, ERR_SYSTEM, r, "remove the files of volumes") : 0;
}

static int remove_unused(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	CLEANUP_VOLUME struct volume *v = NULL;
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = volume_find(engine, name, &v, err);
	if (r)
		return r;
	if (v->users.n) {
		CLEANUP_FREE char *users = strv_join(&v->users, ", ");
		return err_set(err, ERR_CONFLICT, 0, "remove %s: volume is in use - [%s]", name, users);
	}
	r = forget(engine, name, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

int volume_remove(struct engine *engine, const char *name, struct err *err)
{
	int r = remove_unused(engine, name, err);
	if (r == 0)
		r = FAULT("volume.forgotten");
	return r < 0 ? r : volumes_sweep(engine, err);
}

int volumes_prune(struct engine *engine, const struct volume_filter *filter, bool all, struct strv *ret_names,
		  int64_t *ret_bytes, struct err *err)
{
	struct volume **list = NULL;
	size_t n = 0;
	int r = volumes_list(engine, filter, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct err why = ERR_INIT;
		if (list[i]->users.n || !(all || list[i]->is_anonymous))
			continue;
		int64_t bytes = volume_disk_usage(engine, list[i]->name);
		r = remove_unused(engine, list[i]->name, &why);
		if (r == 0) {
			*ret_bytes += bytes;
			strv_add(ret_names, list[i]->name);
		} else if (why.kind == ERR_CONFLICT || why.kind == ERR_NOT_FOUND) {
			r = 0; /* taken, or gone, meanwhile */
		} else {
			*err = why;
		}
	}
	volumes_list_free(list, n);
	return r < 0 ? r : volumes_sweep(engine, err);
}

int64_t volume_disk_usage(struct engine *engine, const char *name)
{
	int64_t counted;
	if (volume_quota_used(engine, name, &counted))
		return counted;
	CLEANUP_FREE char *path = str_printf("volumes/%s/_data", name);
	return tree_disk_usage(engine->store->root_fd, path);
}

int volumes_release(struct engine *engine, const char *id, bool remove_anonymous, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = 0;
	if (remove_anonymous)
		r = db_query(engine->db, &row, err,
			     "SELECT DISTINCT v.name FROM volumes v JOIN container_volumes u ON u.volume = v.name WHERE u.container = ?"
			     " AND v.is_anonymous AND NOT EXISTS"
			     " (SELECT 1 FROM container_volumes o WHERE o.volume = v.name AND o.container <> u.container)", "s", id);
	while (r >= 0 && row && (r = db_next(row, err)) > 0)
		strv_add(&names, db_text(row, 0));
	db_stmt_free(TAKE_PTR(row));
	if (r >= 0)
		r = db_run(engine->db, err, "DELETE FROM container_volumes WHERE container = ?", "s", id);
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		r = forget(engine, names.v[i], err);
	return r < 0 ? r : 0;
}
