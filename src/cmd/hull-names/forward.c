/* SPDX-License-Identifier: Apache-2.0 */
/* How it works. A question goes to one resolver after the other, each with a
 * socket of its own (so that the kernel picks the port and drops what comes from
 * elsewhere) and an id of its own, until one answers it. What a resolver says
 * that is not the answer to this very question is not heard. */
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "random.h"
#include "server.h"

/* A client gives up after ten seconds, most times. */
#define DEADLINE_NS (9 * NS_PER_S)
#define TIMEOUT_ONLY_NS (3 * NS_PER_S)
#define TIMEOUT_ONE_OF_MANY_NS (3 * NS_PER_S / 2)
#define TIMEOUT_TCP_NS (4 * NS_PER_S)

static void attempt(struct forward *f);
static void remember(struct forward *f, const uint8_t *data, size_t len);

/* Pages that were never used cost nothing: the lowest are used again first. */
static struct forward *take_free(struct server *s)
{
	struct forward *f = s->free_forward;
	if (f)
		s->free_forward = f->next_free;
	else if (s->forwards_used < FORWARDS_MAX)
		f = &s->forward[s->forwards_used++];
	return f;
}

static void hang_up(struct forward *f)
{
	int fd = loop_remove(&f->s->loop, &f->source);
	cleanup_fd(&fd);
	loop_timer_stop(&f->s->loop, &f->timer);
	free(f->io);
	f->io = NULL;
}

static void finish(struct forward *f)
{
	struct server *s = f->s;
	hang_up(f);
	free(f->query);
	journal_free(&s->journal, (size_t)(f - s->forward));
	f->c->forwards--;
	directory_unuse(&s->directory, f->c);
	f->in_use = false;
	f->next_free = s->free_forward;
	s->free_forward = f;
}

/* ---- the client's side ---- */

static void tell(struct door *door, const struct sockaddr_in *from, struct stream *stream, const uint8_t *data, size_t len)
{
	if (stream)
		stream_reply(stream, data, len);
	else
		door_reply(door, from, data, len);
}

/* What cannot be asked, or nobody could answer. */
static void refuse(struct door *door, const struct sockaddr_in *from, struct stream *stream, const uint8_t *query,
		   const struct dns_message *m, enum dns_rcode rcode)
{
	uint8_t out[DNS_UDP_MIN];
	tell(door, from, stream, out, dns_write_bare(out, sizeof(out), query, m, rcode, 0));
}

/* A stream may end while it is told something, and with it what it asked. */
static void release(struct forward *f)
{
	if (f->stream)
		f->stream->forwards--;
	f->stream = NULL;
	finish(f);
}

static void give_up(struct forward *f)
{
	struct stream *stream = f->stream;
	struct door *door = f->door;
	struct sockaddr_in from = f->from;
	uint8_t out[DNS_UDP_MIN];
	size_t len = dns_write_bare(out, sizeof(out), f->query, &f->m, f->worst ? f->worst : DNS_SERVFAIL, 0);
	release(f);
	tell(door, &from, stream, out, len);
}

static void pass_on(struct forward *f, uint8_t *data, size_t len)
{
	struct stream *stream = f->stream;
	struct door *door = f->door;
	struct sockaddr_in from = f->from;
	uint8_t cut[DNS_UDP_MIN];
	dns_put16(data, f->m.id);
	/* Longer than the client said it could take: it may ask again by TCP. */
	if (!stream && len > f->m.udp_size) {
		len = dns_write_bare(cut, sizeof(cut), f->query, &f->m, DNS_NOERROR, DNS_FLAG_TC);
		data = cut;
	}
	release(f);
	tell(door, &from, stream, data, len);
}

static void deliver(struct forward *f, uint8_t *data, size_t len)
{
	int r = admit_ask(f->s->admit.fd, f->c, data, len, (uint32_t)(f - f->s->forward), f->serial);
	uint8_t *held = r > 0 ? malloc(len) : NULL;
	if (r == 0) {
		pass_on(f, data, len);
		return;
	}
	hang_up(f);
	if (!held) {
		f->worst = DNS_SERVFAIL;
		give_up(f);
		return;
	}
	memcpy(held, data, len);
	f->io = held;
	f->io_len = len;
	f->is_held = true;
}

void forward_admitted(struct forward *f, uint32_t serial, bool is_ok)
{
	if (!f->in_use || f->serial != serial || !f->is_held)
		return; /* nobody waits for it any more */
	uint8_t *data = TAKE_PTR(f->io);
	if (is_ok) {
		pass_on(f, data, f->io_len);
	} else {
		f->worst = DNS_SERVFAIL;
		give_up(f);
	}
	free(data);
}

/* ---- the resolvers' side ---- */

/* Another resolver that has not failed; none: say so. */
static void next_resolver(struct forward *f)
{
	size_t n = f->resolvers.n;
	hang_up(f);
	if (f->has_failed == (1u << n) - 1 || clock_mono_ns() >= f->deadline_ns) {
		give_up(f);
		return;
	}
	do
		f->current = (f->current + 1) % n;
	while (f->has_failed >> f->current & 1);
	attempt(f);
}

static void this_one_failed(struct forward *f, enum dns_rcode rcode)
{
	f->has_failed |= 1u << f->current;
	f->worst = rcode;
	next_resolver(f);
}

static void timed_out(void *ctx)
{
	next_resolver(ctx);
}

/* True when @f is finished with, or on its way to another resolver. */
static bool hear(struct forward *f, uint8_t *data, size_t len)
{
	struct dns_message m;
	int r = dns_parse(data, len, &m);
	if (r == -EBADMSG || m.id != f->id || !(m.flags & DNS_FLAG_QR))
		return false;
	bool is_failure = dns_rcode(&m) == DNS_SERVFAIL || dns_rcode(&m) == DNS_REFUSED || dns_rcode(&m) == DNS_NOTIMP;
	if (r == 0 && m.questions == 0 && dns_rcode(&m)) {
		/* Some do not repeat a question that they refuse. */
		this_one_failed(f, dns_rcode(&m));
		return true;
	}
	if (m.questions != 1 || !dns_name_eq(&m.name, &f->m.name) || m.type != f->m.type || m.class != f->m.class)
		return false;
	if (is_failure || r < 0) {
		this_one_failed(f, is_failure ? dns_rcode(&m) : DNS_SERVFAIL);
		return true;
	}
	if (m.flags & DNS_FLAG_TC && f->stream && !f->by_tcp) {
		f->by_tcp = true;
		hang_up(f);
		attempt(f);
		return true;
	}
	remember(f, data, len);
	deliver(f, data, len);
	return true;
}

static void udp_ready(void *ctx, uint32_t events)
{
	struct forward *f = ctx;
	uint8_t *data = f->s->scratch;
	for (int i = 0; i < 16; i++) {
		ssize_t n = recv(f->source.fd, data, 65535, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			/* Nobody there: the ICMP error says so. */
			this_one_failed(f, DNS_SERVFAIL);
			return;
		}
		if (hear(f, data, (size_t)n))
			return;
	}
}

static void ask_by_udp(struct forward *f)
{
	uint8_t *data = f->s->scratch;
	memcpy(data, f->query, f->len);
	dns_put16(data, f->id);
	f->source.ready = udp_ready;
	/* A full queue is a lost datagram: the timer sees to that. */
	bool is_sent = send(f->source.fd, data, f->len, MSG_NOSIGNAL) >= 0 || errno == EAGAIN || errno == ENOBUFS;
	if (!is_sent || loop_watch(&f->s->loop, &f->source, EPOLLIN) < 0)
		this_one_failed(f, DNS_SERVFAIL);
}

/* Read what there is of "length, message". True: the message is whole. */
static bool read_answer(struct forward *f, bool *ret_failed)
{
	for (;;) {
		size_t want = f->io_done < 2 ? 2 : 2u + dns_get16(f->io);
		if (f->io_done == want && want > 2)
			return true;
		if (want > f->io_len) {
			uint8_t *more = realloc(f->io, want);
			*ret_failed = !more;
			if (!more)
				return false;
			f->io = more;
			f->io_len = want;
		}
		ssize_t n = want == f->io_done ? 0 : recv(f->source.fd, f->io + f->io_done, want - f->io_done, MSG_DONTWAIT);
		if (n <= 0) {
			*ret_failed = n == 0 || (errno != EAGAIN && errno != EINTR);
			return false;
		}
		f->io_done += (size_t)n;
	}
}

static void tcp_ready(void *ctx, uint32_t events)
{
	struct forward *f = ctx;
	bool has_failed = false;
	if (!f->is_reading) {
		ssize_t n = send(f->source.fd, f->io + f->io_done, f->io_len - f->io_done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			this_one_failed(f, DNS_SERVFAIL);
			return;
		}
		f->io_done += (size_t)n;
		if (f->io_done < f->io_len)
			return;
		f->is_reading = true;
		f->io_done = 0;
		if (loop_watch(&f->s->loop, &f->source, EPOLLIN) < 0)
			this_one_failed(f, DNS_SERVFAIL);
		return;
	}
	bool is_whole = read_answer(f, &has_failed);
	if (!is_whole) {
		if (has_failed)
			this_one_failed(f, DNS_SERVFAIL);
		return;
	}
	/* What is told goes out of a buffer that lives longer than @f. */
	size_t len = dns_get16(f->io);
	memcpy(f->s->scratch, f->io + 2, len);
	if (!hear(f, f->s->scratch, len))
		this_one_failed(f, DNS_SERVFAIL);
}

static void ask_by_tcp(struct forward *f)
{
	f->io = malloc(2 + f->len);
	if (!f->io) {
		this_one_failed(f, DNS_SERVFAIL);
		return;
	}
	dns_put16(f->io, (uint16_t)f->len);
	memcpy(f->io + 2, f->query, f->len);
	dns_put16(f->io + 2, f->id);
	f->io_len = 2 + f->len;
	f->io_done = 0;
	f->is_reading = false;
	f->source.ready = tcp_ready;
	if (loop_watch(&f->s->loop, &f->source, EPOLLOUT) < 0)
		this_one_failed(f, DNS_SERVFAIL);
}

static void attempt(struct forward *f)
{
	const union resolver *to = &f->resolvers.list[f->current];
	socklen_t len = to->any.sa_family == AF_INET ? sizeof(to->in4) : sizeof(to->in6);
	int64_t timeout = f->by_tcp ? TIMEOUT_TCP_NS : f->resolvers.n == 1 ? TIMEOUT_ONLY_NS : TIMEOUT_ONE_OF_MANY_NS;
	random_bytes(&f->id, sizeof(f->id));
	f->source = (struct loop_source){ .ctx = f };
	f->source.fd = socket(to->any.sa_family, (f->by_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->source.fd < 0 || (connect(f->source.fd, &to->any, len) < 0 && errno != EINPROGRESS)) {
		this_one_failed(f, DNS_SERVFAIL);
		return;
	}
	f->timer.fire = timed_out;
	f->timer.ctx = f;
	loop_timer_set(&f->s->loop, &f->timer, timeout);
	if (f->by_tcp)
		ask_by_tcp(f);
	else
		ask_by_udp(f);
}

/* The container's own resolvers, or the host's. On networks without a way out
 * only what is on these networks may be asked. */
static void choose_resolvers(struct server *s, const struct container *c, struct resolvers *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < c->record.servers.n; i++)
		resolvers_add(ret, c->record.servers.v[i]);
	if (c->record.servers.n == 0 && directory_is_open(c))
		*ret = *host_resolvers(&s->host);
	if (directory_is_open(c))
		return;
	size_t n = 0;
	for (size_t i = 0; i < ret->n; i++) {
		const union resolver *r = &ret->list[i];
		bool is4 = r->any.sa_family == AF_INET;
		if (directory_covers(c, is4 ? (const uint8_t *)&r->in4.sin_addr : r->in6.sin6_addr.s6_addr, is4 ? 4 : 16))
			ret->list[n++] = *r;
	}
	ret->n = n;
}

/* Names open the firewall as they are told, and a workload that may not reach
 * everything is told no more than it is to know: such are not answered from memory. */
static bool may_remember(const struct container *c)
{
	return c->record.egress_n == 0 && !c->record.is_restricted;
}

/* Whoever asks the same many times at once would have as many chances to be lied to
 * by somebody who guesses; what is to be remembered was asked once. */
static bool is_asked_once(const struct forward *f)
{
	unsigned n = 0;
	for (size_t i = 0; i < f->s->forwards_used; i++) {
		const struct forward *o = &f->s->forward[i];
		n += o->in_use && o->m.type == f->m.type && dns_name_eq(&o->m.name, &f->m.name);
	}
	return n == 1;
}

static void remember(struct forward *f, const uint8_t *data, size_t len)
{
	const struct cache_question q = { &f->resolvers, f->query, f->len, &f->m };
	if (may_remember(f->c) && is_asked_once(f))
		cache_put(&f->s->cache, &q, clock_mono_ns(), data, len);
}

static bool answer_from_memory(struct server *s, const struct container *c, const struct resolvers *resolvers, struct door *door,
			       const struct sockaddr_in *from, struct stream *stream, const uint8_t *query, size_t len,
			       const struct dns_message *m)
{
	const struct cache_question q = { resolvers, query, len, m };
	uint8_t out[CACHE_ANSWER_MAX];
	size_t out_len = may_remember(c) ? cache_find(&s->cache, &q, clock_mono_ns(), out) : 0;
	if (out_len && !stream && out_len > m->udp_size)
		out_len = dns_write_bare(out, DNS_UDP_MIN, query, m, DNS_NOERROR, DNS_FLAG_TC);
	if (out_len)
		tell(door, from, stream, out, out_len);
	return out_len;
}

void forward_start(struct server *s, struct container *c, struct door *door, const struct sockaddr_in *from,
		   struct stream *stream, const uint8_t *query, size_t len, const struct dns_message *m)
{
	struct resolvers resolvers;
	choose_resolvers(s, c, &resolvers);
	if (resolvers.n == 0) {
		refuse(door, from, stream, query, m, directory_is_open(c) ? DNS_SERVFAIL : DNS_REFUSED);
		return;
	}
	if (answer_from_memory(s, c, &resolvers, door, from, stream, query, len, m))
		return;
	uint8_t *copy = c->forwards < FORWARDS_PER_CONTAINER ? malloc(len) : NULL;
	struct forward *f = copy ? take_free(s) : NULL;
	if (!f) {
		free(copy);
		refuse(door, from, stream, query, m, DNS_SERVFAIL);
		return;
	}
	memcpy(copy, query, len);
	*f = (struct forward){
		.in_use = true, .serial = ++s->serial, .s = s, .c = c, .stream = stream, .door = door, .m = *m, .query = copy, .len = len,
		.resolvers = resolvers, .source.fd = -1, .deadline_ns = clock_mono_ns() + DEADLINE_NS,
		/* Who asks by TCP expects more than fits in a datagram. */
		.by_tcp = stream && stream->door,
	};
	(void)directory_use(&s->directory, c->id);
	c->forwards++;
	if (stream) {
		stream->forwards++;
	} else {
		f->from = *from;
		journal_write(&s->journal, (size_t)(f - s->forward), c->id, from, query, len);
	}
	attempt(f);
}

void forward_cancel(struct server *s, const struct door *door, const struct stream *stream)
{
	for (size_t i = 0; i < s->forwards_used; i++) {
		struct forward *f = &s->forward[i];
		if (f->in_use && ((stream && f->stream == stream) || (door && f->door == door)))
			finish(f);
	}
}
