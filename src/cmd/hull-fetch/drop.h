/* SPDX-License-Identifier: Apache-2.0 */
/* Give up what a program that talks to strangers must not have: root, every
 * capability, writing to files, new programs. The network stays. */
#pragma once

#include "err.h"

int drop_privileges(struct err *err) MUST_CHECK;
