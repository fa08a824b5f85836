/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C for work that should be ended in order instead of cut off. */
#pragma once

/* From now on SIGINT, SIGTERM and SIGHUP only set the flag that is returned, to
 * their number; a second one kills as usual. */
const volatile int *interrupt_catch(void);
/* Signals act as before again. */
void interrupt_release(void);
