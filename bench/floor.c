/* SPDX-License-Identifier: Apache-2.0 */
/* What a pull cannot do without, and nothing else: download, SHA-256 of what
 * arrives, decompress, SHA-256 of the tar, one sequential write. Every layer has
 * two threads, so that its two halves overlap, and all layers go at once.
 *
 *   floor gzip|zstd FOLDER URL...     writes FOLDER/0, FOLDER/1, ... */
#include <curl/curl.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK (256u << 10)
#define CHUNKS 16
#define LAYERS_MAX 64

struct layer {
	const char *url;
	bool is_zstd, is_over;
	int out;
	pthread_t halves[2];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned char *chunk[CHUNKS];
	size_t len[CHUNKS];
	unsigned first, n;
	size_t filled; /* of the chunk that is being filled */
	EVP_MD_CTX *blob, *tar;
};

static void die(const char *why)
{
	fprintf(stderr, "floor: %s\n", why);
	exit(1);
}

static void hand_on(struct layer *l)
{
	pthread_mutex_lock(&l->lock);
	l->len[(l->first + l->n) % CHUNKS] = l->filled;
	l->n++;
	l->filled = 0;
	pthread_cond_signal(&l->changed);
	while (l->n == CHUNKS)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

static size_t arrived(char *data, size_t one, size_t len, void *ctx)
{
	struct layer *l = ctx;
	EVP_DigestUpdate(l->blob, data, len);
	for (size_t done = 0; done < len;) {
		size_t room = CHUNK - l->filled, part = len - done < room ? len - done : room;
		memcpy(l->chunk[(l->first + l->n) % CHUNKS] + l->filled, data + done, part);
		l->filled += part;
		done += part;
		if (l->filled == CHUNK)
			hand_on(l);
	}
	return one * len;
}

static void *download(void *ctx)
{
	struct layer *l = ctx;
	CURL *curl = curl_easy_init();
	curl_easy_setopt(curl, CURLOPT_URL, l->url);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)CHUNK);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, arrived);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, l);
	if (curl_easy_perform(curl) != CURLE_OK)
		die(l->url);
	curl_easy_cleanup(curl);
	if (l->filled)
		hand_on(l);
	pthread_mutex_lock(&l->lock);
	l->is_over = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void keep(struct layer *l, const unsigned char *data, size_t len)
{
	EVP_DigestUpdate(l->tar, data, len);
	while (len) {
		ssize_t n = write(l->out, data, len);
		if (n < 0)
			die("cannot write");
		data += n;
		len -= (size_t)n;
	}
}

static bool take(struct layer *l, unsigned char **ret, size_t *ret_len)
{
	pthread_mutex_lock(&l->lock);
	while (!l->n && !l->is_over)
		pthread_cond_wait(&l->changed, &l->lock);
	bool any = l->n > 0;
	*ret = l->chunk[l->first];
	*ret_len = l->len[l->first];
	pthread_mutex_unlock(&l->lock);
	return any;
}

static void give_back(struct layer *l)
{
	pthread_mutex_lock(&l->lock);
	l->first = (l->first + 1) % CHUNKS;
	l->n--;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

static void *decompress(void *ctx)
{
	struct layer *l = ctx;
	static _Thread_local struct inflate_state gzip;
	unsigned char *in, *out = malloc(CHUNK);
	size_t len;
	ZSTD_DStream *zstd = ZSTD_createDStream();
	isal_inflate_init(&gzip);
	gzip.crc_flag = ISAL_GZIP;
	while (take(l, &in, &len)) {
		if (l->is_zstd) {
			ZSTD_inBuffer from = { in, len, 0 };
			while (from.pos < from.size) {
				ZSTD_outBuffer to = { out, CHUNK, 0 };
				if (ZSTD_isError(ZSTD_decompressStream(zstd, &to, &from)))
					die("bad zstd");
				keep(l, out, to.pos);
			}
		} else {
			gzip.next_in = in;
			gzip.avail_in = (uint32_t)len;
			do {
				gzip.next_out = out;
				gzip.avail_out = CHUNK;
				if (isal_inflate(&gzip) != ISAL_DECOMP_OK)
					die("bad gzip");
				keep(l, out, CHUNK - gzip.avail_out);
			} while (gzip.avail_in || gzip.avail_out == 0);
		}
		give_back(l);
	}
	ZSTD_freeDStream(zstd);
	free(out);
	return NULL;
}

static void begin(struct layer *l, const char *folder, int i)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%d", folder, i);
	l->out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	l->blob = EVP_MD_CTX_new();
	l->tar = EVP_MD_CTX_new();
	if (l->out < 0 || !EVP_DigestInit_ex(l->blob, EVP_sha256(), NULL) || !EVP_DigestInit_ex(l->tar, EVP_sha256(), NULL))
		die("cannot begin");
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	for (int k = 0; k < CHUNKS; k++)
		l->chunk[k] = malloc(CHUNK);
	if (pthread_create(&l->halves[0], NULL, download, l) || pthread_create(&l->halves[1], NULL, decompress, l))
		die("no thread");
}

static void end(struct layer *l)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	pthread_join(l->halves[0], NULL);
	pthread_join(l->halves[1], NULL);
	EVP_DigestFinal_ex(l->blob, digest, &n);
	EVP_DigestFinal_ex(l->tar, digest, &n);
	close(l->out);
}

int main(int argc, char **argv)
{
	static struct layer layer[LAYERS_MAX];
	if (argc < 4 || argc - 3 > LAYERS_MAX)
		die("usage: floor gzip|zstd FOLDER URL...");
	curl_global_init(CURL_GLOBAL_ALL);
	for (int i = 0; i < argc - 3; i++) {
		layer[i].url = argv[i + 3];
		layer[i].is_zstd = strcmp(argv[1], "zstd") == 0;
		begin(&layer[i], argv[2], i);
	}
	for (int i = 0; i < argc - 3; i++)
		end(&layer[i]);
	return 0;
}
