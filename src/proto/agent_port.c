/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_port.h"

#include <errno.h>
#include <unistd.h>

#include "fd.h"

int agent_port_init(struct agent_port *p, int fd, void *memory, bool is_host)
{
	*p = (struct agent_port){ .fd = fd, .has_ring = memory != NULL };
	if (memory)
		agent_ring_init(&p->ring, memory, is_host);
	return fd_set_nonblock(fd, true);
}

ssize_t agent_port_read(struct agent_port *p, void *data, size_t len)
{
	ssize_t n = p->has_ring ? agent_ring_read(&p->ring, data, len) : read(p->fd, data, len);
	if (p->has_ring)
		return n == 0 ? -EAGAIN : n;
	return n > 0 ? n : n == 0 ? -EPIPE : errno == EINTR ? -EAGAIN : -errno;
}

ssize_t agent_port_write(struct agent_port *p, const void *data, size_t len)
{
	ssize_t n = p->has_ring ? agent_ring_write(&p->ring, data, len) : write(p->fd, data, len);
	if (p->has_ring)
		return n == 0 ? -EAGAIN : n;
	return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

bool agent_port_rest(struct agent_port *p, bool for_room)
{
	if (!p->has_ring)
		return false;
	/* A bell that is full of rings has been heard. */
	if (p->ring.must_ring)
		(void)!write(p->fd, "!", 1);
	p->ring.must_ring = false;
	return agent_ring_sleep(&p->ring, for_room);
}

int agent_port_woken(struct agent_port *p)
{
	char rings[64];
	if (!p->has_ring)
		return 0;
	ssize_t n = read(p->fd, rings, sizeof(rings));
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ? -EPIPE : 0;
}
