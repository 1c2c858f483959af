/* transport_tls.c - see transport.h: TLS by OpenSSL.
 *
 * OpenSSL reads and writes through a BIO of ours: its own calls write(), which raises SIGPIPE, and
 * does not tell whether a read has emptied the socket. With read-ahead a record costs one recv, not
 * one for its header and one for its body.
 *
 * A handshake is always a whole one: no session is kept, tickets that a peer sends are read and
 * forgotten. OpenSSL's configuration file is not read: a measurement is the same on any machine.
 */
#define _GNU_SOURCE
#include "transport.h"

#ifdef HAVE_OPENSSL

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct tls_context {
    SSL_CTX *ssl;     /* owned */
    BIO_METHOD *wire; /* owned */
    const char *cipher;
    uint8_t pin[TLS_PIN_BYTES];
};

struct tls {
    struct tls_context *context;
    SSL *ssl; /* owned */
    int fd;
    int err;      /* of the last recv or send that failed for good, 0: none has */
    bool emptied; /* the last recv took all there was */
    bool ended;   /* the peer has closed */
    bool broken;  /* nothing more may be sent */
};

const char *tls_unavailable(void)
{
    return NULL;
}

const char *tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

/* ---- the wire ----------------------------------------------------------------------------- */

static int wire_failed(BIO *bio, struct tls *tls, int retry)
{
    if (errno == EAGAIN)
        BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
    else
        tls->err = errno;
    return -1;
}

static int wire_read(BIO *bio, char *buf, int size)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = recv(tls->fd, buf, (size_t)size, 0);
    while (n < 0 && errno == EINTR);
    tls->emptied = n < size;
    if (n < 0)
        return wire_failed(bio, tls, BIO_FLAGS_READ);
    tls->ended = n == 0;
    return (int)n;
}

static int wire_write(BIO *bio, const char *bytes, int size)
{
    struct tls *tls = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    do
        n = send(tls->fd, bytes, (size_t)size, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? wire_failed(bio, tls, BIO_FLAGS_WRITE) : (int)n;
}

static long wire_control(BIO *bio, int what, long number, void *pointer)
{
    const struct tls *tls = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (what == BIO_CTRL_EOF)
        return tls->ended;
    return what == BIO_CTRL_FLUSH; /* there is nothing else that it does */
}

static BIO_METHOD *wire_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pybench");

    if (method && BIO_meth_set_read(method, wire_read) && BIO_meth_set_write(method, wire_write) &&
        BIO_meth_set_ctrl(method, wire_control))
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- a test, and a connection ------------------------------------------------------------- */

struct tls_context *tls_context_new(const uint8_t pin[TLS_PIN_BYTES])
{
    struct tls_context *context;

    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    context->cipher = "";
    memcpy(context->pin, pin, sizeof context->pin);
    context->wire = wire_method();
    context->ssl = SSL_CTX_new(TLS_client_method());
    if (!context->wire || !context->ssl ||
        !SSL_CTX_set_min_proto_version(context->ssl, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(context->ssl, TLS1_3_VERSION)) {
        ERR_clear_error();
        tls_context_free(context);
        return NULL;
    }
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL); /* the pin is looked at instead */
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
    /* who closes its socket without a word has closed, as on a plain connection */
    SSL_CTX_set_options(context->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context->ssl,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context->ssl, 1);
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->wire);
    free(context);
}

const char *tls_context_cipher(const struct tls_context *context)
{
    return context->cipher;
}

struct tls *tls_new(struct tls_context *context, int fd)
{
    struct tls *tls = calloc(1, sizeof *tls);
    BIO *bio;

    if (!tls)
        return NULL;
    tls->context = context;
    tls->fd = fd;
    tls->ssl = SSL_new(context->ssl);
    bio = tls->ssl ? BIO_new(context->wire) : NULL;
    if (!bio) {
        ERR_clear_error();
        tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

/* ---- the handshake ------------------------------------------------------------------------ */

static bool meets_pin(const struct tls *tls)
{
    X509 *certificate = SSL_get1_peer_certificate(tls->ssl);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    bool met;

    met = certificate && X509_digest(certificate, EVP_sha256(), digest, &length) &&
          length == TLS_PIN_BYTES && memcmp(digest, tls->context->pin, TLS_PIN_BYTES) == 0;
    X509_free(certificate);
    return met;
}

/* A handshake failed: in words. */
static int handshake_failed(struct tls *tls, int error, char reason[TLS_REASON_TEXT])
{
    const char *said = ERR_reason_error_string(ERR_peek_error());

    tls->broken = true;
    if (tls->ended || error == SSL_ERROR_ZERO_RETURN)
        said = "the peer closed the connection";
    else if (error == SSL_ERROR_SYSCALL && tls->err)
        said = strerror(tls->err);
    snprintf(reason, TLS_REASON_TEXT, "%s", said ? said : "no reason given");
    ERR_clear_error();
    return -TLS_BROKEN;
}

int tls_handshake(struct tls *tls, char reason[TLS_REASON_TEXT])
{
    int done = SSL_connect(tls->ssl);

    if (done == 1) {
        if (!meets_pin(tls)) {
            snprintf(reason, TLS_REASON_TEXT, "the peer has another certificate than the pin's");
            return -TLS_WRONG_PIN;
        }
        tls->context->cipher = SSL_get_cipher_name(tls->ssl);
        return 0;
    }
    done = SSL_get_error(tls->ssl, done);
    if (done == SSL_ERROR_WANT_READ || done == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    return handshake_failed(tls, done, reason);
}

/* ---- messages ----------------------------------------------------------------------------- */

/* What a call that gave no bytes means: 0, or -1 with errno. OpenSSL's queue of errors is empty
 * before each call, which SSL_get_error relies on, because it is emptied here. */
static ssize_t no_bytes(struct tls *tls, int result)
{
    int err;

    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        err = EAGAIN;
        break;
    case SSL_ERROR_WANT_WRITE:
        err = EINPROGRESS;
        break;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        tls->broken = true;
        err = tls->err ? tls->err : TLS_BROKEN;
        break;
    default:
        tls->broken = true;
        err = TLS_BROKEN;
    }
    ERR_clear_error();
    errno = err;
    return -1;
}

ssize_t tls_receive(struct tls *tls, void *buf, size_t size, bool *more)
{
    int n = SSL_read(tls->ssl, buf, (int)size);

    *more = n > 0 && (!tls->emptied || SSL_has_pending(tls->ssl));
    return n > 0 ? n : no_bytes(tls, n);
}

ssize_t tls_send(struct tls *tls, const void *bytes, size_t size)
{
    size_t sent = 0;
    int n;

    do { /* a record at a time */
        n = SSL_write(tls->ssl, (const char *)bytes + sent, (int)(size - sent));
        if (n <= 0)
            break;
        sent += (size_t)n;
    } while (sent < size);
    if (n > 0)
        return (ssize_t)sent;
    if (no_bytes(tls, n) == 0) /* it has closed: whoever sends to it is told so */
        errno = EPIPE;
    else if (errno == EINPROGRESS)
        errno = EAGAIN;
    return sent ? (ssize_t)sent : -1;
}

void tls_say_end(struct tls *tls)
{
    if (!tls->broken && SSL_shutdown(tls->ssl) < 0)
        ERR_clear_error();
}

#else /* !HAVE_OPENSSL */

const char *tls_unavailable(void)
{
    return "this server was built without OpenSSL 3; install it (Debian: libssl-dev) and build "
           "pybench again";
}

const char *tls_library(void)
{
    return "none";
}

/* Nobody comes here: there is no context, and so no connection. */

struct tls_context *tls_context_new(const uint8_t pin[TLS_PIN_BYTES])
{
    (void)pin;
    return NULL;
}

void tls_context_free(struct tls_context *context)
{
    (void)context;
}

const char *tls_context_cipher(const struct tls_context *context)
{
    (void)context;
    return "";
}

struct tls *tls_new(struct tls_context *context, int fd)
{
    (void)context;
    (void)fd;
    return NULL;
}

int tls_handshake(struct tls *tls, char reason[TLS_REASON_TEXT])
{
    (void)tls;
    reason[0] = '\0';
    return -ENOSYS;
}

ssize_t tls_receive(struct tls *tls, void *buf, size_t size, bool *more)
{
    (void)tls;
    (void)buf;
    (void)size;
    *more = false;
    errno = ENOSYS;
    return -1;
}

ssize_t tls_send(struct tls *tls, const void *bytes, size_t size)
{
    (void)tls;
    (void)bytes;
    (void)size;
    errno = ENOSYS;
    return -1;
}

void tls_say_end(struct tls *tls)
{
    (void)tls;
}

void tls_free(struct tls *tls)
{
    (void)tls;
}

#endif
