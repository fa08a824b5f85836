/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox level: a kernel of its own in user space (user-mode Linux). Its
 * process is what stands between the workload and the host, so it is jailed as
 * if it were hostile: it may turn so. */
#pragma once

#include "isolation.h"

extern const struct isolation isolation_sandbox;
