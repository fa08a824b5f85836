/* SPDX-License-Identifier: Apache-2.0 */
#include "unpack_args.h"

#include <getopt.h>
#include <string.h>

#include "str.h"

static const char *const media_names[] = { "any", "none", "gzip", "zstd", "xz" };
static_assert(ARRAY_LEN(media_names) == UNPACK_MEDIA_COUNT, "one name each");

const char *unpack_media_name(enum unpack_media media)
{
	return media_names[media];
}

static int parse_media(const char *s, enum unpack_media *ret)
{
	for (unsigned i = 0; i < UNPACK_MEDIA_COUNT; i++)
		if (str_eq(s, media_names[i])) {
			*ret = (enum unpack_media)i;
			return 0;
		}
	return -EINVAL;
}

static int parse_digest(const char *s, char out[static 65])
{
	if (!str_starts_with(s, "sha256:") || strlen(s) != 71 || !str_is_hex(s + 7, 64))
		return -EINVAL;
	memcpy(out, s + 7, 65);
	return 0;
}

static int parse_count(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	int r = str_parse_u64_max(s, max, ret);
	return r < 0 ? r : *ret < min ? -ERANGE : 0;
}

int unpack_args_parse(int argc, char **argv, struct unpack_args *ret, struct err *err)
{
	static const struct option options[] = {
		{ "dir", no_argument, NULL, 'd' },
		{ "tee", no_argument, NULL, 't' },
		{ "expand", no_argument, NULL, 'x' },
		{ "prefix", no_argument, NULL, 'p' },
		{ "media", required_argument, NULL, 'm' },
		{ "digest", required_argument, NULL, 'D' },
		{ "diffid", required_argument, NULL, 'I' },
		{ "size", required_argument, NULL, 's' },
		{ "max-bytes", required_argument, NULL, 'b' },
		{ "max-entries", required_argument, NULL, 'e' },
		{ "max-ratio", required_argument, NULL, 'r' },
		{ 0 },
	};
	struct unpack_args a = { .size = -1, .max_bytes = 256ull << 30, .max_entries = 1000000, .max_ratio = 200 };
	uint64_t size = 0;
	int c, index = 0, r;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", options, &index)) != -1) {
		r = 0;
		switch (c) {
		case 'd':
			a.is_dir = true;
			break;
		case 't':
			a.has_tee = true;
			break;
		case 'x':
			a.is_expand = true;
			break;
		case 'p':
			a.has_prefix = true;
			break;
		case 'm':
			r = parse_media(optarg, &a.media);
			break;
		case 'D':
			r = parse_digest(optarg, a.digest);
			break;
		case 'I':
			r = parse_digest(optarg, a.diffid);
			break;
		case 's':
			r = parse_count(optarg, 0, INT64_MAX, &size);
			a.size = (int64_t)size;
			break;
		case 'b':
			r = parse_count(optarg, 1, INT64_MAX, &a.max_bytes);
			break;
		case 'e':
			r = parse_count(optarg, 1, UINT32_MAX, &a.max_entries);
			break;
		case 'r':
			r = parse_count(optarg, 1, UINT32_MAX, &a.max_ratio);
			break;
		default:
			return err_set(err, ERR_INVALID, 0, "unknown argument %s", argv[optind - 1]);
		}
		if (r < 0)
			return err_set(err, ERR_INVALID, r, "bad value for --%s", options[index].name);
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, 0, "unknown argument %s", argv[optind]);
	if (a.has_prefix && !a.is_expand)
		return err_set(err, ERR_INVALID, 0, "--prefix is for --expand");
	*ret = a;
	return 0;
}
