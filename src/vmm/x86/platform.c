/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and interrupt lines, and the few ports of a PC that are there. */
#include <string.h>

#include "layout.h"
#include "machine.h"

#define KEYBOARD_RESET 0xfe

void arch_lay_out(struct machine *m, uint64_t bytes)
{
	m->low_bytes = bytes < LOW_MEMORY_MAX ? bytes : LOW_MEMORY_MAX;
	m->high_bytes = bytes - m->low_bytes;
	m->next_gpa = HIGH_MEMORY;
}

uint64_t arch_window_gpa(unsigned index)
{
	return MMIO_WINDOWS + index * (uint64_t)VIRTIO_MMIO_BYTES;
}

unsigned arch_window_irq(unsigned index)
{
	return FIRST_DEVICE_IRQ + index;
}

unsigned arch_uart_irq(void)
{
	return UART_IRQ;
}

static void port_write(struct machine *m, unsigned port, uint8_t value)
{
	if (port >= UART_PORT && port < UART_PORT + 8) {
		if (m->uart.is_there && uart_write(&m->uart, port - UART_PORT, value))
			machine_wake(m);
	} else if (port == SLEEP_PORT) {
		if (value == SLEEP_OFF_VALUE)
			machine_end(m, VMM_END_POWEROFF, NULL);
	} else if (port == RESET_PORT) {
		if (value == RESET_VALUE)
			machine_end(m, VMM_END_RESET, NULL);
	} else if (port == KEYBOARD_PORT) {
		if (value == KEYBOARD_RESET)
			machine_end(m, VMM_END_RESET, NULL);
	} else if (port == PANIC_PORT && value & 1) {
		machine_end(m, VMM_END_PANIC, NULL);
	}
}

static uint8_t port_read(struct machine *m, unsigned port)
{
	if (port >= UART_PORT && port < UART_PORT + 8 && m->uart.is_there)
		return uart_read(&m->uart, port - UART_PORT);
	/* The keyboard controller takes a command at any time (Linux waits for that). */
	if (port == KEYBOARD_PORT || port == SLEEP_PORT || port == SLEEP_STATUS_PORT)
		return 0;
	/* What a driver asks for: only the panic event. */
	if (port == PANIC_PORT)
		return 1;
	return 0xff;
}

bool arch_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	if (run->exit_reason != KVM_EXIT_IO)
		return run->exit_reason == KVM_EXIT_HLT || run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint64_t bytes = (uint64_t)run->io.size * run->io.count;
	if (run->io.data_offset > vcpu->machine->run_bytes || bytes > vcpu->machine->run_bytes - run->io.data_offset)
		return false;
	/* Every port here is of one byte: what is wider reaches the first only. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			port_write(vcpu->machine, run->io.port, data[0]);
		} else {
			memset(data, 0xff, run->io.size);
			data[0] = port_read(vcpu->machine, run->io.port);
		}
	}
	return true;
}
