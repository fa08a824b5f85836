/* SPDX-License-Identifier: Apache-2.0 */
#include "attach_session.h"

#include <errno.h>

int attach_session_run(int sock, const struct attach_opts *opts, struct attach_result *ret, struct err *err)
{
	return err_set(err, ERR_UNSUPPORTED, 0, "not built yet");
}
