/* SPDX-License-Identifier: Apache-2.0 */
#include "uart.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };
#define IER_THRI 2u
#define IIR_NONE 1u
#define IIR_THRI 2u
#define IIR_FIFO 0xc0u
#define LCR_DLAB 0x80u
#define MCR_LOOP 0x10u
#define LSR_EMPTY 0x60u
#define MSR_CTS_DSR_DCD 0xb0u

static void writable(void *ctx, uint32_t events)
{
	uart_flush(ctx);
}

int uart_init(struct uart *u, struct loop *loop, int out_fd)
{
	u->loop = loop;
	pthread_mutex_init(&u->lock, NULL);
	u->out = (struct loop_source){ .fd = out_fd, .ready = writable, .ctx = u };
	u->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->irq_fd < 0)
		return -errno;
	int r = fd_set_nonblock(out_fd, true);
	u->is_there = r >= 0;
	return r;
}

/* The interrupt is edge-triggered: once for each time the transmitter becomes empty
 * while the driver wants to know, which is at once. */
static void transmitter_empty(struct uart *u)
{
	if (!(u->ier & IER_THRI))
		return;
	u->is_thr_pending = true;
	(void)!write(u->irq_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

bool uart_write(struct uart *u, unsigned reg, uint8_t value)
{
	bool was_empty = false;
	pthread_mutex_lock(&u->lock);
	if (u->lcr & LCR_DLAB && reg <= REG_IER) {
		u->divisor[reg] = value;
	} else if (reg == REG_DATA && !(u->mcr & MCR_LOOP)) {
		was_empty = u->head == u->tail;
		if (u->head - u->tail < UART_RING)
			u->ring[u->head++ % UART_RING] = value;
		transmitter_empty(u);
	} else if (reg == REG_IER) {
		u->ier = value & 0xf;
		transmitter_empty(u);
	} else if (reg == REG_LCR) {
		u->lcr = value;
	} else if (reg == REG_MCR) {
		u->mcr = value & 0x1f;
	} else if (reg == REG_SCRATCH) {
		u->scratch = value;
	}
	pthread_mutex_unlock(&u->lock);
	return was_empty;
}

uint8_t uart_read(struct uart *u, unsigned reg)
{
	uint8_t value = 0;
	pthread_mutex_lock(&u->lock);
	switch (reg) {
	case REG_DATA:
		value = u->lcr & LCR_DLAB ? u->divisor[0] : 0;
		break;
	case REG_IER:
		value = u->lcr & LCR_DLAB ? u->divisor[1] : u->ier;
		break;
	case REG_IIR:
		value = IIR_FIFO | (u->is_thr_pending ? IIR_THRI : IIR_NONE);
		u->is_thr_pending = false;
		break;
	case REG_LCR:
		value = u->lcr;
		break;
	case REG_MCR:
		value = u->mcr;
		break;
	case REG_LSR:
		value = LSR_EMPTY;
		break;
	case REG_MSR:
		/* In a loop the modem's lines are the control register's (drivers test for it). */
		value = MSR_CTS_DSR_DCD;
		if (u->mcr & MCR_LOOP)
			value = (uint8_t)((u->mcr & 1) << 5 | (u->mcr & 2) << 3 | (u->mcr & 4) << 4 | (u->mcr & 8) << 4);
		break;
	default:
		value = u->scratch;
	}
	pthread_mutex_unlock(&u->lock);
	return value;
}

void uart_flush(struct uart *u)
{
	if (!u->is_there)
		return;
	for (;;) {
		uint8_t bytes[1024];
		uint32_t n = 0;
		pthread_mutex_lock(&u->lock);
		for (uint32_t at = u->tail; at != u->head && n < sizeof(bytes); at++)
			bytes[n++] = u->ring[at % UART_RING];
		pthread_mutex_unlock(&u->lock);
		if (!n)
			break;
		ssize_t written = write(u->out.fd, bytes, n);
		if (written < 0 && errno == EAGAIN) {
			(void)!loop_watch(u->loop, &u->out, EPOLLOUT);
			return;
		}
		/* Nobody reads any more: as good as read. */
		if (written < 0)
			written = n;
		pthread_mutex_lock(&u->lock);
		u->tail += (uint32_t)written;
		pthread_mutex_unlock(&u->lock);
	}
	(void)!loop_watch(u->loop, &u->out, 0);
}
