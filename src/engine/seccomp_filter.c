/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp_filter.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "fd.h"
#include "seccomp_profile.h"

#define PROFILE_MAX_BYTES (4u << 20)

/* FNV-1a, twice with different bases: the cache is root's own, so a name need
 * only be different, not unforgeable. */
static uint64_t hash(const char *data, size_t len, uint64_t h)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return h;
}

static const char *profile_option(const struct container_config *c)
{
	for (size_t i = 0; i < c->security_opt.n; i++) {
		const char *o = c->security_opt.v[i];
		if (str_starts_with(o, "seccomp=") || str_starts_with(o, "seccomp:"))
			return o + strlen("seccomp=");
	}
	return NULL;
}

static int read_profile(const char *option, struct buf *own, const char **ret, size_t *ret_len, struct err *err)
{
	if (str_is_empty(option) || str_eq(option, "builtin")) {
		*ret = seccomp_default_profile(ret_len);
		return 0;
	}
	/* The Docker client sends the text itself. */
	int r = *option == '{' ? buf_append_str(own, option) : fd_read_file_at(AT_FDCWD, option, own);
	if (r < 0)
		return err_set(err, ERR_INVALID, r, "opening seccomp profile (%s) failed", option);
	*ret = own->data;
	*ret_len = own->len;
	return 0;
}

int seccomp_filter_path(struct engine *engine, const struct container_config *c, uint64_t caps, char **ret, struct err *err)
{
	CLEANUP_BUF struct buf own = BUF_INIT(PROFILE_MAX_BYTES);
	const char *option = profile_option(c), *text = NULL;
	size_t len = 0, n = 0;
	struct utsname host;
	if (c->privileged || str_eq(option ? option : "", "unconfined"))
		return 0;
	int r = read_profile(option, &own, &text, &len, err);
	if (r < 0)
		return r;
	uname(&host);
	/* The default's text changes only with the compiler's version. */
	uint64_t h1 = own.len ? hash(text, len, UINT64_C(0xcbf29ce484222325)) : len;
	uint64_t h2 = own.len ? hash(text, len, UINT64_C(0x9ae16a3b2f90404f)) : 0;
	CLEANUP_FREE char *name = str_printf("seccomp/%016jx%016jx-%jx-%d-%s.bpf", (uintmax_t)h1, (uintmax_t)h2, (uintmax_t)caps,
					     SECCOMP_COMPILER_VERSION, host.release);
	if (faccessat(engine->store->root_fd, name, R_OK, 0) < 0) {
		struct sock_filter *made = NULL;
		const struct sock_filter *filter = own.len ? NULL : seccomp_default_filter(caps, &n);
		if (!filter) {
			r = seccomp_profile_compile(text, len, caps, &made, &n, err);
			filter = made;
		}
		if (r >= 0 && (r = fd_replace_file_at(engine->store->root_fd, name, filter, n * sizeof(*filter), 0600, false)) < 0)
			err_set(err, ERR_SYSTEM, r, "keep the seccomp filter");
		free(made);
		if (r < 0)
			return r;
	}
	*ret = str_printf("%s/%s", engine->root, name);
	return 0;
}
