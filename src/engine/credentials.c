/* SPDX-License-Identifier: Apache-2.0 */
#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"

#define CONFIG_MAX (4u << 20)
#define HELPER_MAX (64u * 1024)
/* A person may have to unlock a key ring. */
#define HELPER_MS 120000

extern char **environ;

/* ---- the file ---- */

static char *config_folder(void)
{
	const char *config = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	if (!str_is_empty(config))
		return str_dup(config);
	return str_printf("%s/.docker", str_is_empty(home) ? "/root" : home);
}

/* *ret is NULL when there is no such file. */
static int read_config(const char *path, struct json **ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX);
	int r = fd_read_file_at(AT_FDCWD, path, &text);
	*ret = NULL;
	if (r == -ENOENT || r == -ENOTDIR || (r == 0 && text.len == 0))
		return 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %s", path);
	r = json_parse(buf_str(&text), text.len, path, ret, err);
	if (r >= 0 && json_kind(*ret) != JT_OBJECT) {
		json_free(TAKE_PTR(*ret));
		return err_set(err, ERR_INVALID, 0, "%s is not a JSON object", path);
	}
	return r;
}

static int read_docker_config(struct json **ret, struct err *err)
{
	CLEANUP_FREE char *folder = config_folder();
	CLEANUP_FREE char *path = str_printf("%s/config.json", folder);
	return read_config(path, ret, err);
}

static int change_config(const struct json *config, const char *registry, const struct registry_login *login,
			 char **ret_path, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX);
	CLEANUP_FREE char *folder = config_folder();
	int r = fd_mkdir_parents(folder, 0700);
	CLEANUP_FD int dir = r < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && dir < 0)
		r = -errno;
	if (r == 0)
		r = docker_config_change(config, registry, login, &text);
	if (r == 0)
		r = fd_replace_file_at(dir, "config.json", text.data, text.len, 0600, true);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write %s/config.json", folder);
	if (ret_path)
		*ret_path = str_printf("%s/config.json", folder);
	return 0;
}

/* ---- helpers ---- */

struct helper {
	pid_t pid;
	int in, out;
};

static int start_helper(const char *program, const char *verb, struct helper *h, struct err *err)
{
	const char *const argv[] = { program, verb, NULL };
	int to[2], from[2];
	if (pipe2(to, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	h->in = to[1];
	CLEANUP_FD int in = to[0];
	if (pipe2(from, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	h->out = from[0];
	CLEANUP_FD int out = from[1];
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	int r = posix_spawn_file_actions_adddup2(&actions, in, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (r == 0)
		r = posix_spawnp(&h->pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r == 0)
		return 0;
	h->pid = -1;
	err_set(err, ERR_SYSTEM, 0, "error getting credentials: exec: \"%s\": executable file not found in $PATH", program);
	err_why(err, "config.json names it as the keeper of log-ins");
	err_hint(err, "install it, or take \"credsStore\" or \"credHelpers\" out of config.json");
	return -r;
}

/* Everything it says, in time. */
static int read_helper(const struct helper *h, struct buf *out)
{
	int64_t deadline = clock_mono_ms() + HELPER_MS;
	for (;;) {
		struct pollfd p = { .fd = h->out, .events = POLLIN };
		int64_t left = deadline - clock_mono_ms();
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? -errno : -ETIMEDOUT;
		if ((r = buf_reserve(out, 4096)) < 0)
			return r;
		ssize_t n = read(h->out, out->data + out->len, 4096);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0) {
			out->len += (size_t)n;
			out->data[out->len] = '\0';
		}
	}
}

static bool is_helper_name(const char *s)
{
	for (const char *c = s; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("._-", *c)))
			return false;
	return *s && *s != '.';
}

/* Run docker-credential-NAME @verb with @input: its exit status, or an error. */
static int run_helper(const char *name, const char *verb, const char *input, struct buf *out, struct err *err)
{
	struct helper h = { .pid = -1, .in = -1, .out = -1 };
	if (!is_helper_name(name))
		return err_set(err, ERR_INVALID, 0, "config.json names a credential helper that is none: %.60s", name);
	CLEANUP_FREE char *program = str_printf("docker-credential-%s", name);
	/* A helper that does not read must not take hull along. */
	signal(SIGPIPE, SIG_IGN);
	int r = start_helper(program, verb, &h, err), status = 0;
	if (r == 0) {
		(void)!fd_write_all(h.in, input, strlen(input));
		cleanup_fd(&h.in);
		r = read_helper(&h, out);
		if (r < 0) {
			kill(h.pid, SIGKILL);
			err_set(err, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_SYSTEM, r, "%s %s", program, verb);
		}
		while (waitpid(h.pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	cleanup_fd(&h.in);
	cleanup_fd(&h.out);
	return r < 0 ? r : WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int helper_failed(const char *name, const char *verb, const struct buf *out, struct err *err)
{
	int r = err_set(err, ERR_SYSTEM, 0, "docker-credential-%s %s failed", name, verb);
	err_why(err, "%.*s", (int)strcspn(buf_str(out), "\r\n"), buf_str(out));
	return r;
}

static int get_from_helper(const char *name, const char *registry, struct registry_login *ret, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(HELPER_MAX);
	CLEANUP_JSON struct json *root = NULL;
	int r = run_helper(name, "get", docker_config_key(registry), &out, err);
	if (r < 0)
		return r;
	if (r > 0)
		return strstr(buf_str(&out), "credentials not found") ? 0 : helper_failed(name, "get", &out, err);
	if ((r = json_parse(buf_str(&out), out.len, "credential helper", &root, err)) < 0)
		return r;
	const char *user = json_get_str(root, "Username"), *secret = json_get_str(root, "Secret");
	explicit_bzero(out.data, out.len);
	if (str_is_empty(secret))
		return 0;
	if (str_eq(user, "<token>")) {
		ret->identity_token = str_dup(secret);
	} else {
		ret->username = str_dup(user ? user : "");
		ret->password = str_dup(secret);
	}
	return 1;
}

/* ---- */

int credentials_get(const char *registry, struct registry_login *ret, struct err *err)
{
	CLEANUP_JSON struct json *config = NULL;
	int r = read_docker_config(&config, err);
	if (r < 0)
		return r;
	const char *helper = docker_config_helper(config, registry);
	if (helper && (r = get_from_helper(helper, registry, ret, err)) != 0)
		return r;
	if ((r = docker_config_login(config, registry, ret, err)) != 0)
		return r;
	const char *run = getenv("XDG_RUNTIME_DIR");
	if (str_is_empty(run))
		return 0;
	CLEANUP_JSON struct json *podman = NULL;
	CLEANUP_FREE char *path = str_printf("%s/containers/auth.json", run);
	r = read_config(path, &podman, err);
	return r < 0 ? r : docker_config_login(podman, registry, ret, err);
}

static int store_in_helper(const char *name, const char *registry, const struct registry_login *l, struct err *err)
{
	CLEANUP_BUF struct buf in = BUF_INIT(HELPER_MAX), out = BUF_INIT(HELPER_MAX);
	struct json_writer w;
	json_writer_init(&w, &in, 0);
	jw_object(&w);
	jw_kv_str(&w, "ServerURL", docker_config_key(registry));
	jw_kv_str(&w, "Username", l->identity_token ? "<token>" : l->username);
	jw_kv_str(&w, "Secret", l->identity_token ? l->identity_token : l->password);
	jw_object_end(&w);
	int r = json_writer_finish(&w);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "keep the log-in");
	r = run_helper(name, "store", buf_str(&in), &out, err);
	return r <= 0 ? r : helper_failed(name, "store", &out, err);
}

int credentials_store(const char *registry, const struct registry_login *login, char **ret_where, struct err *err)
{
	CLEANUP_JSON struct json *config = NULL;
	int r = read_docker_config(&config, err);
	if (r < 0)
		return r;
	const char *helper = docker_config_helper(config, registry);
	*ret_where = NULL;
	if (!helper)
		return change_config(config, registry, login, ret_where, err);
	if ((r = store_in_helper(helper, registry, login, err)) < 0)
		return r;
	/* An entry without a secret tells who is logged in where. */
	const struct registry_login none = { 0 };
	return change_config(config, registry, &none, NULL, err);
}

int credentials_erase(const char *registry, struct err *err)
{
	CLEANUP_JSON struct json *config = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(HELPER_MAX);
	int r = read_docker_config(&config, err);
	if (r < 0)
		return r;
	const char *helper = docker_config_helper(config, registry);
	bool was_there = docker_config_has(config, registry);
	if (helper && (r = run_helper(helper, "erase", docker_config_key(registry), &out, err)) != 0)
		return r < 0 ? r : helper_failed(helper, "erase", &out, err);
	if (was_there && (r = change_config(config, registry, NULL, NULL, err)) < 0)
		return r;
	return was_there || helper;
}
