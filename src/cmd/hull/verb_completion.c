/* SPDX-License-Identifier: Apache-2.0 */
/* `hull completion SHELL`: the scripts of completion/, built in. */
#include "cli.h"

extern const char completion_bash[], completion_zsh[], completion_fish[];

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	static const char *const shells[] = { "bash", "zsh", "fish", NULL };
	const char *const scripts[] = { completion_bash, completion_zsh, completion_fish };
	struct err err = ERR_INIT;

	for (size_t i = 0; shells[i]; i++)
		if (str_eq(argv[0], shells[i])) {
			fputs(scripts[i], stdout);
			return EXIT_OK;
		}
	err_set(&err, ERR_INVALID, 0, "no completion for %s: the shells are bash, zsh and fish", argv[0]);
	const char *nearest = str_nearest(argv[0], shells);
	if (nearest)
		err_hint(&err, "hull completion %s", nearest);
	return cli_fail(cli, &err);
}

const struct verb verb_completion = {
	.names = { "completion" },
	.args = "bash|zsh|fish",
	.brief = "Print the completion script of a shell",
	.details = "Packages and `meson install` put the scripts where the shells look for them. Verbs, options, the names\n"
		   "of containers, images, volumes and networks, and the words that an option takes are all completed.",
	.min_args = 1,
	.max_args = 1,
	.complete = COMPLETE_WORDS,
	.complete_words = "bash zsh fish",
	.is_local = true,
	.run = run,
};
