/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "agent.h"
#include "erofs_mount.h"

/* Once. */
static int mount_host(void)
{
	if (mkdir(AGENT_HOST_DIR, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	return mount("host", AGENT_HOST_DIR, "hostfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "/") < 0 ? -errno : 0;
}

static int mount_layers(struct runtime_spec *spec, struct err *err)
{
	const struct strv *files = &spec->guest.layer_files;
	for (size_t i = 0; i < files->n; i++) {
		char target[48];
		snprintf(target, sizeof(target), AGENT_LAYERS_DIR "/%zu", i);
		int r = str_starts_with(files->v[i], AGENT_HOST_DIR "/") ? mount_host() : 0;
		if (r == 0)
			r = mkdir(target, 0700) < 0         ? -errno :
			    spec->guest.has_dax                ? erofs_mount_memory(files->v[i], target) :
								 erofs_mount_file(files->v[i], target);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "mount the layer %s in the guest", files->v[i]);
		strv_add(&spec->layers, target);
	}
	return 0;
}

int storage_mount(struct runtime_spec *spec, struct err *err)
{
	strv_free(&spec->layers);
	spec->layers = (struct strv){ 0 };
	return mount_layers(spec, err);
}
