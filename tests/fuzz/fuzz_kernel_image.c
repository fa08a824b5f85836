/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels as users have them: ELF files and bzImages. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

#define MEMORY (UINT64_C(32) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct machine m;
	struct err err = ERR_INIT;
	if (len < 1)
		return 0;
	const struct boot_info info = { "words", 1 + data[0] % 32, data[0] % VMM_DEVICES_MAX, data[0] & 1, data[0] & 2 };
	void *host = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int fd = memfd_create("kernel", MFD_CLOEXEC);
	m = (struct machine){ 0 };
	arch_lay_out(&m, MEMORY);
	if (host == MAP_FAILED || fd < 0 || write(fd, data + 1, len - 1) != (ssize_t)(len - 1) ||
	    guest_memory_add(&m.mem, 0, host, MEMORY, 0) < 0)
		abort();
	int r = arch_load(&m, fd, data[0] & 4 ? fd : -1, &info, &err);
	/* A refusal says why; a kernel that was taken starts in memory. */
	if ((r < 0) != err_is_set(&err) || (r == 0 && !guest_memory_at(&m.mem, m.entry, 1, GUEST_READ)))
		abort();
	close(fd);
	munmap(host, MEMORY);
	return 0;
}
