/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up maps half the program, sixteen pages a fault; waiting needs a few. */
#pragma once

/* Unmap the program's own read-only pages; those in use come back by faults. */
void memory_trim(void);
