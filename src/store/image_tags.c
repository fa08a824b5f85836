/* SPDX-License-Identifier: Apache-2.0 */
#include "image_tags.h"

#include "image_pull.h"
#include "registry.h"

int image_tags(const struct reference *ref, const struct fetch_options *options, const volatile int *stop, struct strv *ret,
	       struct err *err)
{
	CLEANUP_REGISTRY struct registry *registry = NULL;
	int64_t status = 0;
	int r = registry_open(ref->registry, options, &registry, err);
	if (r == 0)
		r = registry_tags(registry, ref->repository, stop, ret, &status, err);
	return r < 0 ? image_pull_explain(ref, status, r, err) : 0;
}
