/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <ctype.h>
#include <string.h>

#include "str.h"

#define NAME_MAX_CHARS 255
#define TAG_MAX_CHARS 128

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One path component: alphanumerics joined by ".", "_", "__" or any number of "-". */
static bool is_component(const char *s, size_t len)
{
	size_t i = 0;
	if (len == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[len - 1]))
		return false;
	while (i < len) {
		while (i < len && is_lower_alnum(s[i]))
			i++;
		if (i == len)
			return true;
		size_t start = i;
		while (i < len && s[i] == s[start] && strchr("._-", s[i]))
			i++;
		size_t run = i - start;
		if (run == 0 || (s[start] == '.' && run > 1) || (s[start] == '_' && run > 2))
			return false;
	}
	return true;
}

static bool is_repository(const char *s)
{
	for (;;) {
		size_t len = strcspn(s, "/");
		if (!is_component(s, len))
			return false;
		if (!s[len])
			return true;
		s += len + 1;
	}
}

bool reference_tag_is_valid(const char *s)
{
	size_t len = strlen(s);
	if (len == 0 || len > TAG_MAX_CHARS || *s == '.' || *s == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	return true;
}

/* A host name, an IPv4 address or a bracketed IPv6 address, and a port. */
static bool is_registry(const char *s)
{
	size_t i = 0;
	if (*s == '[') {
		i = strspn(s + 1, "0123456789abcdefABCDEF:.") + 1;
		if (i == 1 || s[i++] != ']')
			return false;
	} else {
		for (; isalnum((unsigned char)s[i]) || s[i] == '.' || s[i] == '-'; i++)
			if ((s[i] == '.' || s[i] == '-') && (i == 0 || (s[i] == '.' && s[i - 1] == '.')))
				return false;
		if (i == 0)
			return false;
	}
	if (!s[i])
		return true;
	uint64_t port;
	return s[i] == ':' && str_parse_u64_max(s + i + 1, 65535, &port) == 0;
}

bool digest_is_valid(const char *s)
{
	if (str_starts_with(s, "sha256:"))
		s += 7;
	else if (str_starts_with(s, "sha512:"))
		return strlen(s + 7) == 128 && strspn(s + 7, "0123456789abcdef") == 128;
	else
		return false;
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

const char *digest_hex(const char *digest)
{
	return strchr(digest, ':') + 1;
}

static int invalid(struct err *err)
{
	return err_set(err, ERR_INVALID, 0, "invalid reference format");
}

static int split_suffix(char *s, struct reference *ref, struct err *err)
{
	char *at = strchr(s, '@');
	if (at) {
		*at = '\0';
		if (!digest_is_valid(at + 1))
			return invalid(err);
		ref->digest = str_dup(at + 1);
	}
	char *slash = strrchr(s, '/'), *colon = strchr(slash ? slash : s, ':');
	if (colon) {
		*colon = '\0';
		if (!reference_tag_is_valid(colon + 1))
			return invalid(err);
		ref->tag = str_dup(colon + 1);
	}
	return 0;
}

static int split_name(const char *s, struct reference *ref, struct err *err)
{
	const char *slash = strchr(s, '/');
	size_t first = slash ? (size_t)(slash - s) : 0;
	if (slash && (memchr(s, '.', first) || memchr(s, ':', first) || (first == 9 && !memcmp(s, "localhost", 9)))) {
		ref->registry = str_ndup(s, first);
		s = slash + 1;
		if (str_eq(ref->registry, "index.docker.io")) {
			free(ref->registry);
			ref->registry = str_dup("docker.io");
		}
		if (!is_registry(ref->registry))
			return invalid(err);
	} else {
		ref->registry = str_dup("docker.io");
	}
	bool is_library = str_eq(ref->registry, "docker.io") && !strchr(s, '/');
	ref->repository = is_library ? str_printf("library/%s", s) : str_dup(s);
	if (is_repository(ref->repository) && strlen(ref->registry) + strlen(ref->repository) < NAME_MAX_CHARS)
		return 0;
	for (const char *c = s; *c; c++)
		if (isupper((unsigned char)*c))
			return err_set(err, ERR_INVALID, 0,
				       "invalid reference format: repository name (%s) must be lowercase",
				       ref->repository);
	return invalid(err);
}

int reference_parse(const char *s, bool default_tag, struct reference *ret, struct err *err)
{
	CLEANUP_REFERENCE struct reference ref = { 0 };
	CLEANUP_FREE char *copy = str_dup(s);
	int r = split_suffix(copy, &ref, err);
	if (r < 0)
		return r;
	if (strlen(copy) == 64 && strspn(copy, "0123456789abcdef") == 64)
		return err_set(err, ERR_INVALID, 0,
			       "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", copy);
	r = split_name(copy, &ref, err);
	if (r < 0)
		return r;
	if (!ref.tag && !ref.digest && default_tag)
		ref.tag = str_dup("latest");
	*ret = ref;
	ref = (struct reference){ 0 };
	return 0;
}

void reference_done(struct reference *ref)
{
	free(ref->registry);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct reference){ 0 };
}

char *reference_name(const struct reference *ref)
{
	return str_printf("%s/%s", ref->registry, ref->repository);
}

char *reference_full(const struct reference *ref)
{
	if (ref->tag)
		return str_printf("%s/%s:%s", ref->registry, ref->repository, ref->tag);
	if (ref->digest)
		return str_printf("%s/%s@%s", ref->registry, ref->repository, ref->digest);
	return reference_name(ref);
}

const char *reference_familiar(const char *full)
{
	if (!str_starts_with(full, "docker.io/"))
		return full;
	const char *rest = full + strlen("docker.io/");
	/* "docker.io/library/a/b" would mean something else when shortened. */
	if (str_starts_with(rest, "library/") && !strchr(rest + strlen("library/"), '/'))
		return rest + strlen("library/");
	return rest;
}

const char *reference_suffix(const char *full)
{
	const char *at = strchr(full, '@');
	if (at)
		return at;
	const char *slash = strrchr(full, '/'), *colon = strchr(slash ? slash : full, ':');
	return colon ? colon : full + strlen(full);
}
