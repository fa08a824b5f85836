/* SPDX-License-Identifier: Apache-2.0 */
/* The low-level calls on purpose: EVP would pull the provider machinery, its
 * start-up time and a megabyte into a static program. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "digest.h"

#include <openssl/sha.h>
#include <string.h>

#include "str.h"

struct digest_stream {
	SHA256_CTX ctx;
};

static const char *finish(SHA256_CTX *ctx, char out[DIGEST_SIZE])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256_Final(sum, ctx);
	memcpy(out, "sha256:", 7);
	str_hex(sum, sizeof(sum), out + 7);
	return out;
}

const char *digest_of(const void *data, size_t len, char out[DIGEST_SIZE])
{
	SHA256_CTX ctx;
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, data, len);
	return finish(&ctx, out);
}

struct digest_stream *digest_stream_new(void)
{
	struct digest_stream *d = mem_calloc(1, sizeof(*d));
	SHA256_Init(&d->ctx);
	return d;
}

void digest_stream_update(struct digest_stream *d, const void *data, size_t len)
{
	SHA256_Update(&d->ctx, data, len);
}

const char *digest_stream_finish(struct digest_stream *d, char out[DIGEST_SIZE])
{
	return finish(&d->ctx, out);
}

void digest_stream_free(struct digest_stream *d)
{
	free(d);
}
