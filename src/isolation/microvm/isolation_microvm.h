/* SPDX-License-Identifier: Apache-2.0 */
/* The microVM level: a kernel of its own behind KVM, in hull's own monitor of
 * virtual machines (hull-vmm), which is jailed: a guest may turn hostile. */
#pragma once

#include "isolation.h"

extern const struct isolation isolation_microvm;
