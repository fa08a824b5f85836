/* SPDX-License-Identifier: Apache-2.0 */
/* What is done after a command, by a process of its own: nobody waits for it. */
#pragma once

/* `hull internal @verb`, in a session of its own and without the caller's
 * files. If it cannot be started, the next command's does it. */
void behind_run(const char *verb);
/* Fold the database's log into the file, if it has grown. */
void behind_fold(const char *root);
