/* SPDX-License-Identifier: Apache-2.0 */
#include "login.h"

#include <string.h>

#include "clock.h"
#include "json.h"

#define TOKEN_MAX (256u * 1024)
#define CLIENT_ID "hull"
/* Of tokens that do not say (distribution spec, token authentication). */
#define DEFAULT_LIFE_S 60

static bool has_login(const struct session *s, const struct endpoint *e)
{
	const struct fetch_options *o = &s->open.options;
	/* The log-in is for the registry, not for its mirrors. */
	return !e->is_mirror && ((o->username && o->password) || o->identity_token);
}

static char *basic_header(const struct fetch_options *o)
{
	CLEANUP_FREE char *pair = str_printf("%s:%s", o->username, o->password ? o->password : "");
	CLEANUP_FREE char *text = str_base64(pair, strlen(pair));
	return str_printf("Authorization: Basic %s", text);
}

/* ---- tokens ---- */

static int add_query(CURL *curl, struct buf *out, char *separator, const char *key, const char *value)
{
	if (!value)
		return 0;
	char *escaped = curl_easy_escape(curl, value, 0);
	int r = escaped ? buf_printf(out, "%s%s=%s", *separator == '?' ? "?" : *separator ? "&" : "", key, escaped) : -ENOMEM;
	curl_free(escaped);
	*separator = '&';
	return r;
}

/* "a b" is two scopes, each a parameter of its own. */
static int add_scopes(CURL *curl, struct buf *out, char *separator, const char *scope)
{
	CLEANUP_STRV struct strv list = { 0 };
	if (scope)
		strv_split(&list, scope, ' ');
	int r = 0;
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = add_query(curl, out, separator, "scope", list.v[i]);
	return r;
}

static bool is_header_safe(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

struct token_answer {
	char *token, *refresh;
	int64_t life_s;
};

static int read_token(const struct http_response *res, struct token_answer *ret, struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	struct err why = ERR_INIT;
	int r = json_parse(buf_str(&res->body), res->body.len, "token", &root, &why);
	const char *token = json_get_str(root, "token"), *access = json_get_str(root, "access_token");
	if (str_is_empty(token))
		token = access;
	if (r < 0 || str_is_empty(token) || strlen(token) > TOKEN_MAX || !is_header_safe(token)) {
		r = err_set(err, ERR_INVALID, 0, "the registry's log-in service sent no usable token");
		err_why(err, "%s", *why.msg ? why.msg : "its answer has neither \"token\" nor \"access_token\"");
		return r;
	}
	ret->token = str_dup(token);
	ret->refresh = str_dup(json_get_str(root, "refresh_token"));
	ret->life_s = json_get_i64(root, "expires_in", DEFAULT_LIFE_S);
	if (ret->life_s < DEFAULT_LIFE_S || ret->life_s > 86400)
		ret->life_s = DEFAULT_LIFE_S;
	return 0;
}

static int token_failed(const struct session *s, const struct http_response *res, const char *host, bool was_login,
			struct err *err)
{
	int r;
	if (res->status == 401 || res->status == 403 || res->status == 400) {
		r = err_set(err, ERR_DENIED, -EACCES, was_login ? "unauthorized: incorrect username or password"
								: "unauthorized: authentication required");
		if (!was_login)
			err_hint(err, "hull login %s", s->open.registry);
		else
			err_why(err, "%s answered %ld", host, res->status);
		return r;
	}
	r = err_set(err, ERR_SYSTEM, 0, "the registry's log-in service failed");
	err_why(err, "%s answered %ld", host, res->status);
	return r;
}

/* Ask @realm. With an identity token by POST, else by GET. */
static int ask_realm(struct session *s, struct endpoint *e, CURL *curl, const struct web_address *realm,
		     bool may_login, const char *scope, bool is_offline, struct token_answer *ret, struct err *err)
{
	const struct fetch_options *o = &s->open.options;
	const struct challenge *c = &e->challenge;
	CLEANUP_BUF struct buf text = BUF_INIT(64u * 1024);
	CLEANUP_STRV struct strv headers = { 0 };
	CLEANUP_HTTP_RESPONSE struct http_response res = HTTP_RESPONSE_INIT;
	bool is_post = may_login && o->identity_token;
	char separator = is_post ? '\0' : strchr(c->realm, '?') ? '&' : '?';
	enum http_trouble trouble;
	int r = is_post ? 0 : buf_append_str(&text, c->realm);
	if (r == 0 && is_post)
		r = add_query(curl, &text, &separator, "grant_type", "refresh_token");
	if (r == 0)
		r = add_query(curl, &text, &separator, "service", c->service);
	if (r == 0)
		r = add_scopes(curl, &text, &separator, scope);
	if (r == 0 && (is_post || is_offline))
		r = add_query(curl, &text, &separator, "client_id", CLIENT_ID);
	if (r == 0 && is_offline && !is_post)
		r = add_query(curl, &text, &separator, "offline_token", "true");
	if (r == 0 && is_post)
		r = add_query(curl, &text, &separator, "refresh_token", o->identity_token);
	else if (r == 0 && may_login)
		r = add_query(curl, &text, &separator, "account", o->username);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "ask for a token");
	if (is_post)
		strv_add(&headers, "Content-Type: application/x-www-form-urlencoded");
	else if (may_login)
		strv_take(&headers, basic_header(o));
	struct http_request q = { .method = is_post ? "POST" : "GET", .url = is_post ? c->realm : buf_str(&text),
				  .headers = headers, .body = is_post ? buf_str(&text) : NULL,
				  .body_len = is_post ? (int64_t)text.len : 0, .stall_ms = s->stall_ms };
	session_tls(s, e, realm, &q.tls);
	r = http_run(curl, &q, &res, &trouble, err);
	if (r < 0)
		return err_context(err, r, "log in");
	/* A redirect is not followed: it would lead the log-in astray. */
	if (res.status != 200)
		return token_failed(s, &res, realm->host, may_login, err);
	return read_token(&res, ret, err);
}

static int get_token(struct session *s, struct endpoint *e, CURL *curl, const char *scope, bool is_offline,
		     struct token_answer *ret, struct err *err)
{
	CLEANUP_WEB_ADDRESS struct web_address realm = { 0 };
	enum realm_trust trust = REALM_ANONYMOUS;
	bool is_wanted = has_login(s, e);
	int r = web_address_parse(e->challenge.realm, &realm, err);
	if (r < 0)
		return err_context(err, r, "the registry wants to be logged in to at an address that is none");
	r = realm_check(&e->address, &realm, session_allows_http(s, &realm), &trust, err);
	if (r < 0)
		return r;
	r = ask_realm(s, e, curl, &realm, is_wanted && trust == REALM_FULL, scope, is_offline, ret, err);
	if (r < 0 && is_wanted && trust != REALM_FULL && err->kind == ERR_DENIED) {
		err_set(err, ERR_DENIED, -EACCES, "unauthorized: the log-in was not sent");
		err_why(err, "%s asks for it at %s, which is of another domain", e->address.host, realm.host);
	}
	return r;
}

static struct token *find_token(struct endpoint *e, const char *scope)
{
	for (size_t i = 0; i < e->tokens_n; i++)
		if (str_eq(e->tokens[i].scope, scope))
			return &e->tokens[i];
	return NULL;
}

static struct token *make_token(struct endpoint *e, const char *scope)
{
	struct token *t = find_token(e, scope);
	if (t)
		return t;
	/* Full: the first goes. */
	t = &e->tokens[e->tokens_n < TOKENS_MAX ? e->tokens_n++ : 0];
	free(t->scope);
	free(t->header);
	*t = (struct token){ .scope = str_dup(scope) };
	return t;
}

static int bearer_header(struct session *s, struct endpoint *e, CURL *curl, const char *scope, char **ret,
			 struct err *err)
{
	struct token_answer answer = { 0 };
	struct token *t = find_token(e, scope);
	/* Somewhat before its time, to arrive in time. */
	if (!t || !t->header || clock_mono_ms() > t->expires_ms - 10000) {
		int r = get_token(s, e, curl, scope ? scope : e->challenge.scope, false, &answer, err);
		if (r < 0)
			return r;
		t = make_token(e, scope);
		free(t->header);
		t->header = str_printf("Authorization: Bearer %s", answer.token);
		t->expires_ms = clock_mono_ms() + answer.life_s * 1000;
		free(answer.token);
		free(answer.refresh);
	}
	*ret = str_dup(t->header);
	return 0;
}

int login_header(struct session *s, struct endpoint *e, CURL *curl, const char *scope, char **ret, struct err *err)
{
	const struct fetch_options *o = &s->open.options;
	int r = 0;
	*ret = NULL;
	pthread_mutex_lock(&e->lock);
	if (o->registry_token && !e->is_mirror)
		*ret = str_printf("Authorization: Bearer %s", o->registry_token);
	else if (e->challenge.scheme == CHALLENGE_BASIC && has_login(s, e) && o->username)
		*ret = basic_header(o);
	else if (e->challenge.scheme == CHALLENGE_BEARER)
		r = bearer_header(s, e, curl, scope, ret, err);
	pthread_mutex_unlock(&e->lock);
	return r;
}

int login_refused(struct session *s, struct endpoint *e, const char *challenge, const char *scope,
		  const char *used_header, struct err *err)
{
	struct challenge c = { 0 };
	int r = challenge ? challenge_parse(challenge, &c, err) : 0;
	if (r < 0)
		return r;
	pthread_mutex_lock(&e->lock);
	struct token *t = find_token(e, scope);
	/* Another thread may have got a new one meanwhile. */
	bool is_stale = t && used_header && str_eq(t->header, used_header);
	r = c.scheme == CHALLENGE_BEARER ? 1
	    : c.scheme == CHALLENGE_BASIC ? !used_header && has_login(s, e) && s->open.options.username
					  : 0;
	if (is_stale) {
		free(t->header);
		t->header = NULL;
	}
	if (c.scheme != CHALLENGE_NONE) {
		challenge_done(&e->challenge);
		e->challenge = c;
	}
	pthread_mutex_unlock(&e->lock);
	return r && !(s->open.options.registry_token && !e->is_mirror);
}

int login_identity(struct session *s, struct endpoint *e, CURL *curl, char **ret, struct err *err)
{
	struct token_answer answer = { 0 };
	int r = 0;
	pthread_mutex_lock(&e->lock);
	if (e->challenge.scheme == CHALLENGE_BEARER && has_login(s, e) && !s->open.options.identity_token)
		r = get_token(s, e, curl, NULL, true, &answer, err);
	pthread_mutex_unlock(&e->lock);
	free(answer.token);
	*ret = answer.refresh;
	return r;
}
