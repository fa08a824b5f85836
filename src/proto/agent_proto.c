/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_proto.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "str.h"

/* The most payload each type may have; types that are not here have none. */
static const struct {
	uint16_t type;
	uint32_t len_min, len_max;
} payloads[] = {
	{ AGENT_DOCUMENT, 1, AGENT_PAYLOAD_MAX },
	{ AGENT_DATA, 1, AGENT_PAYLOAD_MAX },
	{ AGENT_COPY, 1, AGENT_PAYLOAD_MAX },
	{ AGENT_NAMES, 1, AGENT_NAMES_MAX },
	{ AGENT_ERROR, sizeof(struct agent_error), sizeof(struct agent_error) },
	{ AGENT_CONNECT, sizeof(struct agent_interface), sizeof(struct agent_interface) },
	{ AGENT_DISCONNECT, sizeof(struct agent_interface), sizeof(struct agent_interface) },
	{ AGENT_ROUTES, sizeof(struct agent_routes), sizeof(struct agent_routes) },
	{ AGENT_STATS_ARE, sizeof(struct agent_stats), sizeof(struct agent_stats) },
};

static bool is_known(uint16_t type)
{
	return (type >= AGENT_DOCUMENT && type <= AGENT_PAUSE) || (type >= AGENT_DATA && type <= AGENT_NAMES) ||
	       (type >= AGENT_HELLO && type <= AGENT_OOM);
}

int agent_frame_check(const struct agent_frame *f)
{
	uint32_t min = 0, max = 0;
	if (!is_known(f->type))
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++)
		if (payloads[i].type == f->type) {
			min = payloads[i].len_min;
			max = payloads[i].len_max;
		}
	if (f->len < min || f->len > max)
		return -EBADMSG;
	if (f->type == AGENT_DOCUMENT)
		return f->stream < AGENT_DOC_COUNT ? 0 : -EBADMSG;
	if (f->type == AGENT_DATA || f->type == AGENT_EOF || f->type == AGENT_CREDIT)
		return f->stream < AGENT_STREAM_COUNT ? 0 : -EBADMSG;
	return 0;
}

static void put_text(char *to, size_t size, const char *from)
{
	memset(to, 0, size);
	memcpy(to, from, strnlen(from, size));
}

static void get_text(char *to, size_t size, const char *from, size_t n)
{
	n = strnlen(from, n < size - 1 ? n : size - 1);
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 127 ? '?' : from[i];
	to[n] = '\0';
}

void agent_error_pack(const struct err *err, struct agent_error *ret)
{
	ret->kind = (int32_t)err->kind;
	ret->errnum = err->errnum;
	put_text(ret->msg, sizeof(ret->msg), err->msg);
	put_text(ret->why, sizeof(ret->why), err->why);
	put_text(ret->hint, sizeof(ret->hint), err->hint);
}

void agent_error_unpack(const void *payload, size_t len, struct err *ret)
{
	struct agent_error e = { 0 };
	memcpy(&e, payload, len < sizeof(e) ? len : sizeof(e));
	*ret = ERR_INIT;
	ret->kind = e.kind > ERR_NONE && e.kind < ERR_KIND_COUNT ? (enum err_kind)e.kind : ERR_SYSTEM;
	ret->errnum = e.errnum < 0 && e.errnum > -4096 ? e.errnum : 0;
	get_text(ret->msg, sizeof(ret->msg), e.msg, sizeof(e.msg));
	get_text(ret->why, sizeof(ret->why), e.why, sizeof(e.why));
	get_text(ret->hint, sizeof(ret->hint), e.hint, sizeof(e.hint));
	if (!ret->msg[0])
		(void)!str_copy(ret->msg, sizeof(ret->msg), "the guest failed and did not say why");
}
