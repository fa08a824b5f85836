/* SPDX-License-Identifier: Apache-2.0 */
/* hull version: Docker's layout. Client and engine are one program. */
#include <string.h>
#include <sys/utsname.h>

#include "cli.h"
#include "format.h"

#define API_VERSION "1.51"
#define API_MINIMUM "1.24"

struct version_opts {
	const char *format;
};

static const struct option options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct version_opts, format), .help = "Format output: json, or a Go template",
	  .complete = COMPLETE_WORDS, .words = "json" },
	OPTIONS_END
};

/* The JSON says ApiVersion, a template .APIVersion (Go's name of the field):
 * @names also writes the latter. */
static void write_common(struct json_writer *w, const char *arch, bool names)
{
	jw_kv_str(w, "Version", HULL_VERSION);
	jw_kv_str(w, "ApiVersion", API_VERSION);
	if (names)
		jw_kv_str(w, "APIVersion", API_VERSION);
	jw_kv_str(w, "Os", "linux");
	jw_kv_str(w, "Arch", arch);
}

static void write_client(struct json_writer *w, const char *arch, bool names)
{
	jw_object(w);
	write_common(w, arch, names);
	jw_kv_str(w, "DefaultAPIVersion", API_VERSION);
	jw_kv_str(w, "Context", "default");
	jw_object_end(w);
}

static void write_server(struct json_writer *w, const char *arch, const char *kernel, bool names)
{
	jw_object(w);
	jw_key(w, "Platform");
	jw_object(w);
	jw_kv_str(w, "Name", "hull");
	jw_object_end(w);
	jw_key(w, "Components");
	jw_array(w);
	jw_object(w);
	jw_kv_str(w, "Name", "Engine");
	jw_kv_str(w, "Version", HULL_VERSION);
	jw_key(w, "Details");
	jw_object(w);
	write_common(w, arch, false);
	jw_kv_str(w, "MinAPIVersion", API_MINIMUM);
	jw_kv_str(w, "KernelVersion", kernel);
	jw_kv_str(w, "Experimental", "false");
	jw_object_end(w);
	jw_object_end(w);
	jw_array_end(w);
	write_common(w, arch, names);
	jw_kv_str(w, "MinAPIVersion", API_MINIMUM);
	jw_kv_str(w, "KernelVersion", kernel);
	jw_kv_bool(w, "Experimental", false);
	jw_object_end(w);
}

static void print_text(const char *arch, const char *kernel)
{
	printf("Client:\n Version:           %s\n API version:       %s\n OS/Arch:           linux/%s\n Context:           default\n\n",
	       HULL_VERSION, API_VERSION, arch);
	printf("Server: hull (in this process: nothing has to run)\n Engine:\n  Version:          %s\n"
	       "  API version:      %s (minimum version %s)\n  OS/Arch:          linux/%s\n  Kernel:           %s\n"
	       "  Experimental:     false\n",
	       HULL_VERSION, API_VERSION, API_MINIMUM, arch, kernel);
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
		print_text(arch, u.release);
		return EXIT_OK;
	}
	bool names = strchr(o->format, '{') != NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	jw_object(&w);
	jw_key(&w, "Client");
	write_client(&w, arch, names);
	jw_key(&w, "Server");
	write_server(&w, arch, u.release, names);
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
