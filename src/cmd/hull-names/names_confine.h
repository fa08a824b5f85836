/* SPDX-License-Identifier: Apache-2.0 */
/* What is given up before the first question is read. */
#pragma once

#include "err.h"

/* No privileges, no files but what a name server reads. */
int confine(int names_dirfd, struct err *err) MUST_CHECK;
/* The process that opens the firewall (admit.h): CAP_NET_ADMIN, and no system
 * calls but to be asked, to read a record, and to tell the kernel. */
int confine_admit(void) MUST_CHECK;
