/* SPDX-License-Identifier: Apache-2.0 */
/* The main of a fuzz target built without libFuzzer: runs each file named on
 * the command line, or each file of a folder, as one TAP test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, int number)
{
	FILE *f = fopen(path, "re");
	/* Exactly as large as the input, so that the sanitizer sees each byte
	 * read past its end. */
	uint8_t *data = NULL;
	long size = -1;

	if (f && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size >= 0) {
		rewind(f);
		data = malloc(size ? (size_t)size : 1);
	}
	if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
		printf("not ok %d - %s: cannot be read\n", number, path);
		exit(1);
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	printf("ok %d - %s\n", number, path);
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	int n = 0;

	for (int i = 1; i < argc; i++) {
		struct dirent **list;
		int count = scandir(argv[i], &list, NULL, alphasort);
		if (count < 0) {
			n += replay(argv[i], n + 1);
			continue;
		}
		for (int k = 0; k < count; k++) {
			char path[4096];
			if (list[k]->d_name[0] != '.') {
				snprintf(path, sizeof(path), "%s/%s", argv[i], list[k]->d_name);
				n += replay(path, n + 1);
			}
			free(list[k]);
		}
		free(list);
	}
	printf("1..%d\n", n);
	return n == 0;
}
