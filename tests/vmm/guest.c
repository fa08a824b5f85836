/* SPDX-License-Identifier: Apache-2.0 */
/* A guest without a kernel, for hull-vmm's tests: an ELF file whose first
 * instruction runs in 64-bit mode with the first 4 GiB mapped. The command line says
 * what it does; it prints to the serial port and ends the machine. Plain moves and
 * port accesses only, so that it also runs where KVM emulates every instruction of a
 * kernel (a software KVM). */
#include <stddef.h>
#include <stdint.h>

#define WINDOWS UINT64_C(0xd0000000)

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void print(const char *s)
{
	while (*s)
		outb(0x3f8, (uint8_t)*s++);
}

static void print_number(uint64_t n)
{
	char text[20];
	int at = sizeof(text) - 1;
	text[at] = 0;
	do
		text[--at] = (char)('0' + n % 10);
	while (n /= 10);
	print(text + at);
}

static int is_word(const char *s, const char *word)
{
	while (*word && *s == *word) {
		s++;
		word++;
	}
	return !*word && (!*s || *s == ' ');
}

static void power_off(void)
{
	outb(0x600, 5 << 2 | 1 << 5);
}

#include "guest_virtio.h"

static void windows(void)
{
	for (unsigned i = 0; i < 19; i++) {
		uint32_t magic = *(volatile uint32_t *)(WINDOWS + i * 0x1000);
		if (magic != 0x74726976)
			continue;
		print("window ");
		print_number(i);
		print(" device ");
		print_number(reg(i, 8));
		print("\n");
	}
	/* Nobody answers there. */
	print(*(volatile uint32_t *)(WINDOWS + 0x40000) == 0xffffffff ? "hole ok\n" : "hole wrong\n");
}

/* Memory that may only be read: right behind 4 GiB, where the tests have no other. */
static void readonly_memory(void)
{
	/* One more table entry, for the GiB from 4 GiB on. */
	extern uint64_t pages[512];
	uint64_t *directory = (uint64_t *)UINT64_C(0xa000);
	for (unsigned i = 0; i < 512; i++)
		pages[i] = (UINT64_C(4) << 30) + ((uint64_t)i << 21) + 0x83;
	directory[4] = (uint64_t)pages | 3;
	volatile uint8_t *memory = (volatile uint8_t *)(UINT64_C(4) << 30);
	unsigned reads = 0, unchanged = 0;
	for (unsigned i = 1; i <= 4; i++) {
		reads += memory[i * 1000] == (i * 1000) % 256;
		memory[i * 1000] = 0x55;
		unchanged += memory[i * 1000] == (i * 1000) % 256;
	}
	print("reads ");
	print_number(reads);
	print(" unchanged ");
	print_number(unchanged);
	print("\n");
}
uint64_t pages[512] __attribute__((aligned(4096)));

void start(void *unused, void *boot_params);
void start(void *unused, void *boot_params)
{
	const char *what = (const char *)(uintptr_t) * (uint32_t *)((uint8_t *)boot_params + 0x228);
	print("start\n");
	if (is_word(what, "reset"))
		outb(0x602, 0x5a);
	else if (is_word(what, "keyboard"))
		outb(0x64, 0xfe);
	else if (is_word(what, "panic"))
		outb(0x505, 1);
	else if (is_word(what, "triple"))
		*(volatile uint64_t *)UINT64_C(0x800000000000) = 0; /* no table of interrupts: three faults */
	else if (is_word(what, "windows"))
		windows();
	else if (is_word(what, "rng"))
		drive_rng();
	else if (is_word(what, "attack"))
		attack();
	else if (is_word(what, "pmem"))
		readonly_memory();
	else if (is_word(what, "spin"))
		for (;;)
			;
	power_off();
	for (;;)
		__asm__ volatile("hlt");
}
