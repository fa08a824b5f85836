/* SPDX-License-Identifier: Apache-2.0 */
/* A 16550 that only prints: enough for a kernel's early messages and for a program
 * that writes to /dev/ttyS0. What the guest prints faster than it is read on the
 * host is dropped: a guest's output never holds up the machine. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"

#define UART_RING 16384u

struct uart {
	bool is_there;
	int irq_fd; /* an eventfd of the machine's */
	/* Written by vCPUs under the lock. */
	pthread_mutex_t lock;
	uint8_t ier, lcr, mcr, scratch, divisor[2];
	bool is_thr_pending; /* "transmitter empty" not told yet */
	uint32_t head, tail;
	uint8_t ring[UART_RING];
	/* The control thread's. */
	struct loop *loop;
	struct loop_source out;
};

/* @out_fd (an own file description is made non-blocking) stays the caller's. */
int uart_init(struct uart *u, struct loop *loop, int out_fd) MUST_CHECK;
/* vCPUs, one byte at a time; @reg 0 to 7. True: the control thread should call
 * uart_flush(). */
bool uart_write(struct uart *u, unsigned reg, uint8_t value);
uint8_t uart_read(struct uart *u, unsigned reg);
/* The control thread: write what is there, as far as it goes. */
void uart_flush(struct uart *u);
