/* SPDX-License-Identifier: Apache-2.0 */
/* hull-vmm: one virtual machine. Started by hull with a socket as descriptor 3
 * (vmm_proto.h); it is of no use from a shell. */
#include <stdio.h>
#include <string.h>

#include "vmm_monitor.h"
#include "vmm_proto.h"

int main(int argc, char **argv)
{
	if (argc == 1)
		return monitor_run(VMM_FD);
	fprintf(stderr, "usage: hull-vmm, started by hull with a socket as descriptor %d\n", VMM_FD);
	return 2;
}
