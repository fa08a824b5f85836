/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "layer_export.h"
#include "str.h"
#include "tree_extract.h"

int copy_message_send(int control, const struct copy_message *m, struct err *err)
{
	ssize_t n = send(control, m, sizeof(*m), MSG_NOSIGNAL);
	return n == (ssize_t)sizeof(*m) ? 0 : err_set(err, ERR_SYSTEM, n < 0 ? -errno : -EIO, "speak to the copying process");
}

int copy_message_receive(int control, struct copy_message *m, struct err *err)
{
	ssize_t n;
	do
		n = recv(control, m, sizeof(*m), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*m))
		return err_set(err, ERR_SYSTEM, n < 0 ? -errno : 0, "the copying process ended early");
	m->subject.name[NAME_MAX] = '\0';
	if (!err_is_set(&m->err))
		return 0;
	*err = m->err;
	return err->errnum < 0 ? err->errnum : -EIO;
}

const char *copy_name_in_archive(const struct copy_subject *subject, bool is_archive)
{
	/* Any name that is one: it is dropped or replaced. */
	return subject->contents_only && !is_archive ? "contents" : subject->name;
}

static int send_files(const struct copy_order *order, int control, int data, int fds_dir, struct copy_message *m, struct err *err)
{
	CLEANUP_FD int source = -1;
	int r = copy_source_open(order->path, order->follows_link, &m->subject, &source, err);
	if (r == 0)
		r = copy_message_send(control, m, err);
	if (r < 0)
		return r;
	return layer_export_entry(source, copy_name_in_archive(&m->subject, order->is_archive), fds_dir, data, &m->bytes, err);
}

static int receive_files(const struct copy_order *order, int control, int data, struct copy_message *m, struct err *err)
{
	CLEANUP(copy_target_done) struct copy_target target = { .dir = -1 };
	int r = copy_message_receive(control, m, err);
	if (r == 0)
		r = copy_target_open(order->path, &m->subject, &target, err);
	if (r == 0)
		r = copy_message_send(control, m, err);
	if (r < 0)
		return r;
	const struct tree_extract what = { .dir = target.dir, .renames = target.renames,
					   .name = target.has_name ? target.name : NULL, .follows_links = true,
					   .keeps_owners = order->keeps_owners };
	return tree_extract(&what, data, err);
}

void copy_worker_failed(int control, const struct err *err)
{
	struct copy_message m = { .err = *err };
	struct err lost = ERR_INIT;
	(void)!copy_message_send(control, &m, &lost);
}

void copy_worker_run(const struct copy_order *order, int control, int data, int fds_dir)
{
	struct copy_message m = { 0 };
	struct err lost = ERR_INIT;
	int r = order->sends ? send_files(order, control, data, fds_dir, &m, &m.err) : receive_files(order, control, data, &m, &m.err);
	if (r < 0 && !err_is_set(&m.err))
		err_set(&m.err, ERR_SYSTEM, r, "copy");
	if (r == -EROFS)
		err_set(&m.err, ERR_DENIED, 0, "container rootfs is marked read-only");
	close(data);
	(void)!copy_message_send(control, &m, &lost);
}
