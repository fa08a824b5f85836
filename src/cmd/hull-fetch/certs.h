/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates by host, as Docker keeps them: DIR/HOST[:PORT]/ with *.crt
 * (authorities), *.cert and *.key (a client's pair). All are read at the start,
 * while the program may still read root's files. */
#pragma once

#include "http.h"

struct certs;
/* A missing @dir is none. ERR_SYSTEM when a file there cannot be read. */
int certs_load(const char *dir, struct certs **ret, struct err *err) MUST_CHECK;
void certs_free(struct certs *c);
/* Fill @tls for @address: what is kept for host:port, else for the host; else,
 * of @fallback ("host:port", may be NULL), the authorities only. */
void certs_get(const struct certs *c, const struct web_address *address, const char *fallback, struct tls_setup *tls);
