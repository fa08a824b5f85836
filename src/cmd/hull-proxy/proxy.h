/* SPDX-License-Identifier: Apache-2.0 */
/* The state of hull-proxy, shared by its files; nothing outside this folder sees it.
 *
 *   main.c      orders of the monitor (proxy_proto.h), idleness, the end
 *   confine.c   what is given up before the first order is read
 *   tcp.c       connections: one of ours to the workload for each that comes
 *   udp.c       datagrams: one socket to the workload for each who sends some
 *
 * One thread, which never waits for anybody. What strangers can make it hold is
 * bounded. */
#pragma once

#include "event_loop.h"
#include "proxy_proto.h"

#define NS_PER_S 1000000000LL
#define FLOWS_MAX 4096
#define SESSIONS_MAX 1024

struct proxy;
struct flow;
struct session;

struct door {
	struct proxy *p;
	uint32_t key;
	struct proxy_port port;
	struct loop_source source;
	struct door *next;
};

struct proxy {
	struct loop loop;
	struct loop_source orders;
	struct loop_timer idle, sweep;
	struct door *doors;
	struct flow *flows;
	struct session *sessions; /* the last used first */
	size_t flows_n, sessions_n;
	bool is_full; /* nothing more is accepted until a connection ends */
	uint8_t scratch[256u << 10];
};

/* confine.c */
int confine(void) MUST_CHECK;

/* main.c. Something has ended: is there still a reason to live? */
void proxy_look_idle(struct proxy *p);
/* Accept, or do not for now. */
void proxy_watch_doors(struct proxy *p);

/* tcp.c */
void tcp_ready(void *door, uint32_t events);

/* udp.c */
void udp_ready(void *door, uint32_t events);
void udp_door_gone(struct door *door);
