/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <stdio.h>
#include <string.h>

#include "random.h"
#include "str.h"

static const char *const adjectives[] = {
	"able",    "amber",  "ample",  "apt",     "autumn", "balmy",  "bold",   "brave",  "breezy", "bright", "brisk",
	"calm",    "candid", "cheery", "civil",   "clear",  "clever", "copper", "cosy",   "crisp",  "daring", "dawn",
	"deft",    "eager",  "early",  "earnest", "fair",   "famous", "fleet",  "fluent", "fond",   "frank",  "fresh",
	"gentle",  "glad",   "golden", "grand",   "green",  "handy",  "happy",  "hardy",  "honest", "humble", "ivory",
	"jolly",   "keen",   "kind",   "lively",  "loyal",  "lucid",  "lucky",  "merry",  "mild",   "misty",  "modest",
	"neat",    "nimble", "noble",  "patient", "placid", "polite", "proud",  "quick",  "quiet",  "rapid",  "ready",
	"robust",  "rustic", "salty",  "serene",  "sharp",  "silver", "smooth", "snug",   "solid",  "spry",   "steady",
	"stout",   "sunny",  "swift",  "tidy",    "trusty", "upbeat", "vivid",  "warm",   "wise",   "witty",  "zesty",
};
/* People who built ships, measured the sea, or made computers useful there. */
static const char *const surnames[] = {
	"amundsen", "babbage",  "baker",    "banks",   "barents",  "beaufort", "bering",  "bohr",     "boole",   "bowditch",
	"brunel",   "byrd",     "cabot",    "cartier", "cayley",   "cook",     "cousteau", "curie",   "dalton",  "darwin",
	"davis",    "dias",     "drake",    "earhart", "ekman",    "ericsson", "euler",   "faraday",  "fitzroy", "flinders",
	"franklin", "froude",   "fulton",   "galvani", "gauss",    "germain",  "hadley",  "halley",   "hamming", "harrison",
	"heezen",   "henson",   "hopper",   "hudson",  "humboldt", "huygens",  "joule",   "kelvin",   "kepler",  "kovacs",
	"lamarr",   "laplace",  "lovelace", "magellan", "marconi", "maury",    "maxwell", "mercator", "morse",   "nansen",
	"napier",   "noether",  "parry",    "pascal",  "peary",    "piccard",  "polo",    "ptolemy",  "ross",    "scoresby",
	"shackleton", "slocum", "tasman",   "tharp",   "thetis",   "torricelli", "turing", "vancouver", "volta",  "watt",
};

void id_generate(char ret[ID_SIZE])
{
	do {
		random_hex(ret, ID_SIZE - 1);
	} while (strspn(ret, "0123456789") >= ID_SHORT);
}

bool id_is_valid(const char *id)
{
	return id && strlen(id) == ID_SIZE - 1 && str_is_hex(id, ID_SIZE - 1);
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int container_name_check(const char **name, struct err *err)
{
	const char *s = *name;
	if (*s == '/')
		s++;
	bool ok = is_alnum(*s) && s[1] && strlen(s) <= 255;
	for (const char *p = s; ok && *p; p++)
		ok = is_alnum(*p) || strchr("_.-", *p);
	if (!ok)
		return err_set(err, ERR_INVALID, 0,
			       "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", *name);
	*name = s;
	return 0;
}

void container_name_generate(unsigned attempt, char ret[64])
{
	uint16_t pick[2];
	random_bytes(pick, sizeof(pick));
	const char *a = adjectives[pick[0] % ARRAY_LEN(adjectives)];
	const char *b = surnames[pick[1] % ARRAY_LEN(surnames)];
	if (attempt)
		snprintf(ret, 64, "%s_%s%d", a, b, (pick[0] >> 8) % 10);
	else
		snprintf(ret, 64, "%s_%s", a, b);
}
