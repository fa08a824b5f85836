/* SPDX-License-Identifier: Apache-2.0 */
#include "chain_io.h"

#include <string.h>

enum direction {
	OUT_OF_GUEST,
	INTO_GUEST,
	ZERO_GUEST,
};

static uint32_t move(const struct iovec *iov, unsigned n, uint32_t offset, uint8_t *data, uint32_t len,
		     enum direction direction)
{
	uint32_t done = 0;
	for (unsigned i = 0; i < n && done < len; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= (uint32_t)iov[i].iov_len;
			continue;
		}
		uint8_t *at = (uint8_t *)iov[i].iov_base + offset;
		size_t here = iov[i].iov_len - offset;
		if (here > len - done)
			here = len - done;
		if (direction == OUT_OF_GUEST)
			memcpy(data + done, at, here);
		else if (direction == INTO_GUEST)
			memcpy(at, data + done, here);
		else
			memset(at, 0, here);
		done += (uint32_t)here;
		offset = 0;
	}
	return done;
}

uint32_t chain_read(const struct virtq_chain *chain, uint32_t offset, void *data, uint32_t len)
{
	return move(chain->iov, chain->n_read, offset, data, len, OUT_OF_GUEST);
}

uint32_t chain_write(const struct virtq_chain *chain, uint32_t offset, const void *data, uint32_t len)
{
	return move(chain->iov + chain->n_read, chain->n_write, offset, (uint8_t *)data, len, INTO_GUEST);
}

uint32_t chain_zero(const struct virtq_chain *chain, uint32_t offset, uint32_t len)
{
	return move(chain->iov + chain->n_read, chain->n_write, offset, NULL, len, ZERO_GUEST);
}

unsigned iov_slice(struct iovec *iov, unsigned n, uint64_t offset, uint64_t len)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < n && len > 0; i++) {
		struct iovec piece = iov[i];
		if (offset >= piece.iov_len) {
			offset -= piece.iov_len;
			continue;
		}
		piece.iov_base = (uint8_t *)piece.iov_base + offset;
		piece.iov_len -= offset;
		offset = 0;
		if (piece.iov_len > len)
			piece.iov_len = len;
		len -= piece.iov_len;
		iov[kept++] = piece;
	}
	return kept;
}

uint64_t iov_bytes(const struct iovec *iov, unsigned n)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}
