/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/utsname.h>

#include "cli.h"
#include "format.h"

struct version_opts {
	const char *format;
};

static const struct option options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct version_opts, format), .help = "Format output: json, or a Go template",
	  .complete = COMPLETE_WORDS, .words = "json" },
	OPTIONS_END
};

static void write_side(struct json_writer *w, const char *kernel, const char *arch)
{
	jw_object(w);
	jw_kv_str(w, "Version", HULL_VERSION);
	jw_kv_str(w, "ApiVersion", "1.51");
	jw_kv_str(w, "MinAPIVersion", "1.24");
	jw_kv_str(w, "Os", "linux");
	jw_kv_str(w, "Arch", arch);
	jw_kv_str(w, "KernelVersion", kernel);
	jw_object_end(w);
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct version_opts *o = opts;
	struct err err = ERR_INIT;
	struct utsname u;

	if (uname(&u) < 0)
		return EXIT_FAILED;
	const char *arch = str_eq(u.machine, "x86_64") ? "amd64" : (str_eq(u.machine, "aarch64") ? "arm64" : u.machine);
	if (!o->format) {
		printf("hull %s\n API version:     1.51 (minimum 1.24)\n OS/Arch:         linux/%s\n Kernel:          %s\n"
		       " Engine:          in process, nothing has to run\n",
		       HULL_VERSION, arch, u.release);
		return EXIT_OK;
	}
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	jw_object(&w);
	jw_key(&w, "Client");
	write_side(&w, u.release, arch);
	jw_key(&w, "Server");
	write_side(&w, u.release, arch);
	jw_object_end(&w);
	if (json_writer_finish(&w) < 0)
		return EXIT_FAILED;
	if (format_print_object(stdout, o->format, &text, &err) < 0)
		return cli_fail(cli, &err);
	return EXIT_OK;
}

const struct verb verb_version = {
	.names = { "version" },
	.args = "[OPTIONS]",
	.brief = "Show the version information",
	.options = options,
	.opts_size = sizeof(struct version_opts),
	.is_docker = true,
	.is_local = true,
	.run = run,
};
