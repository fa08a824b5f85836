/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, mask and capabilities of one worker thread. Each is changed only when a
 * request needs another than the one before: guests mostly repeat themselves.
 * The raw system calls act on the calling thread alone, which is what is wanted;
 * the C library's would change all. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuse_internal.h"
#include "process.h"

/* The guest's kernel has checked who may do what, with all the groups of the
 * asking process, which it does not tell. So the server overrides permissions
 * and lends only the owner of what is made. */
#define CAPABILITIES                                                                                              \
	(1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_SETUID | \
	 1ull << CAP_SETGID | 1ull << CAP_SETFCAP)

uint64_t fuse_server_capabilities(void)
{
	return CAPABILITIES;
}

int fuse_creds_init(struct fuse_creds *c, bool is_active)
{
	*c = (struct fuse_creds){ .is_active = is_active, .has_fsetid = true, .capabilities = CAPABILITIES };
	c->uid = (uid_t)syscall(SYS_setfsuid, -1);
	c->gid = (gid_t)syscall(SYS_setfsgid, -1);
	c->umask = 022;
	umask(c->umask);
	return is_active ? process_set_capabilities(CAPABILITIES, CAPABILITIES, 0) : 0;
}

int fuse_creds_owner(struct fuse_creds *c, const struct fuse_in_header *h, mode_t mask)
{
	mask &= 0777;
	if (mask != c->umask)
		umask(mask);
	c->umask = mask;
	if (!c->is_active)
		return 0;
	/* They tell the old id in any case; only a second call tells whether the
	 * first worked. An id without a meaning in this user namespace is refused. */
	if (h->gid != c->gid) {
		syscall(SYS_setfsgid, h->gid);
		c->gid = (gid_t)syscall(SYS_setfsgid, -1);
	}
	if (h->uid != c->uid) {
		syscall(SYS_setfsuid, h->uid);
		c->uid = (uid_t)syscall(SYS_setfsuid, -1);
	}
	return h->uid == c->uid && h->gid == c->gid ? 0 : -EOVERFLOW;
}

int fuse_creds_fsetid(struct fuse_creds *c, bool has_fsetid)
{
	if (!c->is_active || has_fsetid == c->has_fsetid)
		return 0;
	uint64_t effective = has_fsetid ? c->capabilities : c->capabilities & ~(1ull << CAP_FSETID);
	int r = process_set_capabilities(effective, c->capabilities, 0);
	if (r == 0)
		c->has_fsetid = has_fsetid;
	return r;
}
