/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry says that a repository has. */
#pragma once

#include "fetch_proto.h"
#include "reference.h"

/* The tags of @ref's repository, added to @ret; -EINTR as soon as *@stop is not 0. */
int image_tags(const struct reference *ref, const struct fetch_options *options, const volatile int *stop, struct strv *ret,
	       struct err *err) MUST_CHECK;
