/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's --log-driver and --log-opt, checked and turned into the log fields of
 * a struct monitor_conf. Pure text; touches nothing. */
#pragma once

#include "err.h"
#include "monitor_conf.h"
#include "str.h"

/* What tags and attributes are made of. */
struct log_subject {
	const char *id, *name, *image_name, *image_id; /* name without the slash */
	const struct strv *labels;                     /* "key=value" */
	const struct strv *env;                        /* "KEY=value" */
};

/* @driver may be NULL or "" for the default, @options are "key=value". Errors
 * have Docker's words ("unknown log opt 'x' for json-file log driver"). */
int log_options_apply(struct monitor_conf *conf, const char *driver, const struct strv *options,
		      const struct log_subject *subject, struct err *err) MUST_CHECK;
