/* SPDX-License-Identifier: Apache-2.0 */
/* The container level: namespaces, control groups, seccomp, capabilities. */
#pragma once

#include "isolation.h"

extern const struct isolation isolation_container;
