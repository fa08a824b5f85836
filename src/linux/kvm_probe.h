/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's KVM can run: found out by running it. */
#pragma once

#include "err.h"

/* 0 if an unmodified kernel can run: a guest of a few instructions, each of which a
 * Linux executes in its first second and which a KVM without hardware has to emulate,
 * goes through all of them. Else ERR_UNSUPPORTED or ERR_DENIED, with what was found.
 * In a process forked for it, at most a few seconds. */
int kvm_probe(struct err *err) MUST_CHECK;
