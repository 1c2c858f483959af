/* transport.h - TLS 1.3 between a connection's socket and its messages; and that there is none.
 *
 * A plain connection (TCP or Unix) is its descriptor and nothing else: who has one calls send and
 * recv. One over TLS has a struct tls besides: connect.c makes it and shakes hands, the epoll
 * engine sends and receives through it, pinger.c ends it with the connection. There are no system
 * calls in it but send and recv on that descriptor, as many as without TLS where a record holds a
 * message: what a receive leaves behind is known, so that nobody has to ask once more.
 *
 * Threads: a struct tls belongs to one thread at a time, which has its descriptor in its table. A
 * context is of a test; it is only read while its connections are used.
 *
 * Needs OpenSSL 3 at build time (HAVE_OPENSSL). Without it tls_unavailable says so, and nothing
 * else may be called but tls_context_free(NULL), and tls_free(NULL).
 */
#ifndef PYBENCH_TRANSPORT_H
#define PYBENCH_TRANSPORT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    TLS_PIN_BYTES = 32,    /* SHA-256 of a certificate in DER */
    TLS_REASON_TEXT = 128, /* bytes that hold why a handshake failed */
};

/* Errors of the calls below that no socket has. */
enum {
    TLS_BROKEN = EPROTO, /* an alert, or bytes that are no TLS, or none of this connection */
    TLS_WRONG_PIN = EKEYREJECTED, /* the peer's certificate is not the one of the pin */
};

struct tls_context;
struct tls;

/* Why this build has no TLS, with the remedy; NULL when it has. */
const char *tls_unavailable(void);

/* The version of OpenSSL that does it, "none" where there is none. Static. */
const char *tls_library(void);

/* What the connections of a test share; the certificate they must meet. NULL: no memory. */
struct tls_context *tls_context_new(const uint8_t pin[TLS_PIN_BYTES]);
void tls_context_free(struct tls_context *context);

/* Name of the cipher suite that its last handshake agreed on, empty before. Static. */
const char *tls_context_cipher(const struct tls_context *context);

/* TLS over a connected, non-blocking socket, which stays the caller's. NULL: no memory. */
struct tls *tls_new(struct tls_context *context, int fd);

/* Go on with the handshake. Returns 0 when it is done and the pin is met; -EAGAIN: call again when
 * the socket can be read, or written; or -TLS_BROKEN or -TLS_WRONG_PIN with reason filled. */
int tls_handshake(struct tls *tls, char reason[TLS_REASON_TEXT]);

/* As recv: bytes, 0 when the peer has closed, -1 with errno, which is TLS_BROKEN when TLS itself
 * failed. EAGAIN: nothing until the socket can be read; EINPROGRESS: until it can be written. At
 * *more whether there may be bytes that no new edge would tell of. size > 0. */
ssize_t tls_receive(struct tls *tls, void *buf, size_t size, bool *more);

/* As send: the bytes that were taken, all of size unless the socket is full, or -1 with errno as
 * above. After a short one, or EAGAIN, the next call must begin with the bytes left over. */
ssize_t tls_send(struct tls *tls, const void *bytes, size_t size);

/* Tell the peer that no more comes (close_notify), if it can be told at once. */
void tls_say_end(struct tls *tls);

/* tls may be NULL. No bytes are sent. */
void tls_free(struct tls *tls);

#endif
