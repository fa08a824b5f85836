/* SPDX-License-Identifier: Apache-2.0 */
/* The low-level calls on purpose: EVP would pull the provider machinery, its
 * start-up time and a megabyte into a static program. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "digest.h"

#include <openssl/sha.h>
#include <string.h>

#include "str.h"

const char *digest_of(const void *data, size_t len, char out[DIGEST_SIZE])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA256_CTX ctx;
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, data, len);
	SHA256_Final(sum, &ctx);
	memcpy(out, "sha256:", 7);
	str_hex(sum, sizeof(sum), out + 7);
	return out;
}
