/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.conf, lines of the event log, and messages of the monitor's protocol
 * as they arrive on a socket. The first byte chooses. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_log.h"
#include "monitor_conf.h"
#include "monitor_proto.h"

static void message(const uint8_t *data, size_t size)
{
	static char payload[MON_PAYLOAD_MAX];
	int sv[2], fds[3];
	size_t n = 0;
	struct mon_msg msg;
	if (!size || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) < 0)
		return;
	if (send(sv[0], data, size, MSG_DONTWAIT) == (ssize_t)size && mon_recv(sv[1], &msg, payload, fds, 3, &n) == 1 &&
	    msg.len != size - sizeof(msg))
		abort();
	close(sv[0]);
	close(sv[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	CLEANUP_FREE char *text = str_ndup((const char *)data + 1, size - 1);
	struct monitor_conf *conf = NULL;
	struct event event;
	struct err err = ERR_INIT;
	switch (data[0]) {
	case 'c':
		if (monitor_conf_parse(text, &conf, &err) == 0)
			monitor_conf_free(conf);
		break;
	case 'e':
		(void)!event_log_parse_line(text, &event);
		break;
	default:
		message(data + 1, size - 1);
		break;
	}
	return 0;
}
