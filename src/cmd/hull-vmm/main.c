/* SPDX-License-Identifier: Apache-2.0 */
/* hull-vmm: one virtual machine. Started by hull with a socket as descriptor 3
 * (vmm_proto.h); it is of no use from a shell. */
#include <stdio.h>
#include <string.h>

#include "kvm_probe.h"
#include "vmm_monitor.h"
#include "vmm_proto.h"

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (argc == 1)
		return monitor_run(VMM_FD);
	if (argc == 2 && strcmp(argv[1], "--probe") == 0) {
		int r = kvm_probe(&err);
		if (r < 0)
			printf("%s\n  why: %s\n  try: %s\n", err.msg, err.why, err.hint);
		else
			printf("this KVM runs unmodified kernels\n");
		return r < 0;
	}
	fprintf(stderr, "usage: hull-vmm, started by hull with a socket as descriptor %d\n", VMM_FD);
	return 2;
}
