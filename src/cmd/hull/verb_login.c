/* SPDX-License-Identifier: Apache-2.0 */
/* hull login, hull logout */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"
#include "credentials.h"
#include "fd.h"
#include "registry.h"
#include "registry_access.h"

#define SECRET_MAX (64u * 1024)

struct login_opts {
	const char *username, *password;
	bool password_stdin;
};

static const struct option login_options[] = {
	{ "password", 'p', OPT_STR, offsetof(struct login_opts, password), .help = "Password or access token" },
	{ "password-stdin", 0, OPT_BOOL, offsetof(struct login_opts, password_stdin), .help = "Take the password from stdin" },
	{ "username", 'u', OPT_STR, offsetof(struct login_opts, username), .help = "Username" },
	OPTIONS_END
};

/* "https://host/v1/" as some write it is "host". */
static char *server_name(int argc, char **argv)
{
	const char *s = argc ? argv[0] : "docker.io";
	if (str_starts_with(s, "https://"))
		s += 8;
	else if (str_starts_with(s, "http://"))
		s += 7;
	CLEANUP_FREE char *host = str_ndup(s, strcspn(s, "/"));
	if (str_eq(host, "index.docker.io") || str_eq(host, "registry-1.docker.io"))
		return str_dup("docker.io");
	return TAKE_PTR(host);
}

/* What Docker calls it in its messages. */
static const char *shown_name(const char *server)
{
	return docker_config_key(server);
}

/* ---- asking ---- */

static int read_line(struct buf *out, struct err *err)
{
	for (;;) {
		char c;
		ssize_t n = read(STDIN_FILENO, &c, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_SYSTEM, -errno, "read from the terminal");
		if (n == 0 || c == '\n')
			return 0;
		if (buf_append_char(out, c) < 0)
			return err_set(err, ERR_INVALID, 0, "the answer is too long");
	}
}

static int ask(const char *prompt, bool is_secret, char **ret, struct err *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(4096);
	struct termios old, quiet;
	bool is_changed = is_secret && tcgetattr(STDIN_FILENO, &old) == 0;
	if (is_changed) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	fputs(prompt, stderr);
	fflush(stderr);
	int r = read_line(&line, err);
	if (is_changed) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	*ret = r < 0 ? NULL : str_dup(buf_str(&line));
	if (line.data)
		explicit_bzero(line.data, line.len);
	return r;
}

static int read_stdin(char **ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SECRET_MAX);
	int r = fd_read_all(STDIN_FILENO, &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the password");
	while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	*ret = str_ndup(buf_str(&text), text.len);
	return 0;
}

static int no_terminal(struct err *err)
{
	err_set(err, ERR_INVALID, 0, "Cannot perform an interactive login from a non TTY device");
	err_hint(err, "echo $PASSWORD | hull login -u USER --password-stdin");
	return -EINVAL;
}

/* Fill @l from the options, an earlier log-in, or by asking. */
static int gather(const struct login_opts *o, const char *server, struct registry_login *l, struct err *err)
{
	if (o->password && o->password_stdin)
		return err_set(err, ERR_INVALID, 0, "--password and --password-stdin are mutually exclusive");
	if (o->password_stdin && !o->username)
		return err_set(err, ERR_INVALID, 0, "the --password-stdin option requires --username to be set");
	if (!o->username && !o->password) {
		int r = credentials_get(server, l, err);
		if (r < 0)
			return r;
		if (r > 0 && (l->password || l->identity_token)) {
			fprintf(stderr, "Authenticating with existing credentials... [Username: %s]\n", l->username ? l->username : "");
			return 0;
		}
		registry_login_done(l);
	}
	if (o->password)
		fputs("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n", stderr);
	int r = 0;
	l->username = str_dup(o->username);
	l->password = str_dup(o->password);
	if (o->password_stdin)
		return read_stdin(&l->password, err);
	if ((!l->username || !l->password) && !isatty(STDIN_FILENO))
		return no_terminal(err);
	if (!l->username)
		r = ask("Username: ", false, &l->username, err);
	if (r == 0 && !l->password)
		r = ask("Password: ", true, &l->password, err);
	if (r == 0 && (str_is_empty(l->username) || str_is_empty(l->password)))
		return err_set(err, ERR_INVALID, 0, "username and password are required");
	return r;
}

/* ---- doing ---- */

static int check(const char *server, struct registry_login *l, struct err *err)
{
	CLEANUP_FETCH_OPTIONS struct fetch_options o = { 0 };
	char *identity = NULL;
	int r = registry_reach(server, &o, err);
	if (r < 0)
		return r;
	o.username = str_dup(l->username);
	o.password = str_dup(l->password);
	o.identity_token = str_dup(l->identity_token);
	if ((r = registry_check(server, &o, &identity, err)) < 0) {
		if (err->kind == ERR_DENIED && !str_starts_with(err->msg, "unauthorized"))
			err_context(err, r, "unauthorized: incorrect username or password");
		return r;
	}
	if (identity) {
		free(l->identity_token);
		l->identity_token = identity;
	}
	return 0;
}

static int login(const char *server, struct registry_login *l, struct err *err)
{
	CLEANUP_FREE char *where = NULL;
	int r = check(server, l, err);
	if (r < 0 || (r = credentials_store(server, l, &where, err)) < 0)
		return r;
	if (where)
		fprintf(stderr,
			"\nWARNING! Your credentials are stored unencrypted in '%s'.\n"
			"Configure a credential helper to remove this warning. See\n"
			"https://docs.docker.com/go/credential-store/\n\n",
			where);
	puts("Login Succeeded");
	return 0;
}

static int run_login(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_FREE char *server = server_name(argc, argv);
	CLEANUP_REGISTRY_LOGIN struct registry_login l = { 0 };
	struct err err = ERR_INIT;
	if (gather(opts, server, &l, &err) < 0)
		return cli_fail_client(cli, &err);
	return login(server, &l, &err) < 0 ? cli_fail(cli, &err) : 0;
}

static int run_logout(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_FREE char *server = server_name(argc, argv);
	struct err err = ERR_INIT;
	int r = credentials_erase(server, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	printf(r ? "Removing login credentials for %s\n" : "Not logged in to %s\n", shown_name(server));
	return 0;
}

static const struct option no_options[] = { OPTIONS_END };
const struct verb verb_login = {
	.names = { "login" },
	.args = "[OPTIONS] [SERVER]",
	.brief = "Authenticate to a registry",
	.examples = "hull login ghcr.io\necho $TOKEN | hull login -u me --password-stdin ghcr.io\n",
	.options = login_options,
	.opts_size = sizeof(struct login_opts),
	.min_args = 0,
	.max_args = 1,
	.is_docker = true,
	.run = run_login,
};
const struct verb verb_logout = {
	.names = { "logout" },
	.args = "[SERVER]",
	.brief = "Log out from a registry",
	.options = no_options,
	.opts_size = 1,
	.min_args = 0,
	.max_args = 1,
	.is_docker = true,
	.run = run_logout,
};
