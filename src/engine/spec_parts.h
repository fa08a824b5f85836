/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of spec_build(), each filling its part of the description. */
#pragma once

#include "spec_builder.h"

int spec_build_process(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err) MUST_CHECK;
int spec_build_mounts(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err) MUST_CHECK;
int spec_build_devices(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err) MUST_CHECK;
