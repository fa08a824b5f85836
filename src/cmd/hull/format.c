/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

int format_print_object(FILE *out, const char *text, const struct buf *object, struct err *err)
{
	if (!str_eq(text, "json"))
		return err_set(err, ERR_UNSUPPORTED, 0, "template %s", text);
	fprintf(out, "%s\n", buf_str(object));
	return 0;
}
