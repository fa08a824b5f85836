/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of hull-files, for all its threads. */
#pragma once

#include "err.h"

int files_filter_load(void) MUST_CHECK;
