/* The row c_epoll over TLS 1.3: the same loop with OpenSSL between it and the socket. What Python
 * could at best be over TLS: per message a read and a write, one record each way, and the two
 * ciphers. One SSL per connection.
 *
 * A module of its own, so that c_epoll without TLS has no OpenSSL in its memory.
 *
 * Connections are accepted and shake hands in one loop: whoever connects may wait for the end of
 * one handshake before it begins the next. OpenSSL keeps what it has read ahead, of which epoll
 * knows nothing, so that a turn goes on until that is used up.
 *
 * Threading: everything in one call belongs to the calling thread, which has released the GIL. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyserve.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_PER_WAIT = 1024 };

/* PEM files: the chain of certificates, and the key of the first. */
struct tls_job {
    const char *certfile, *keyfile;
};

struct session {
    struct echo_conn *conn; /* borrowed; NULL: not accepted yet */
    SSL *ssl;               /* owned; NULL once it is over */
    bool shaken;
    char *rest; /* owned: what SSL_write would not take, rest_bytes of it; NULL: nothing */
    size_t rest_bytes;
};

struct loop {
    struct tls_job job;   /* first: see serve_call */
    struct echo_set *set; /* borrowed; NULL before the first step */
    SSL_CTX *context;     /* owned */
    int epoll_fd;
    struct session *sessions; /* owned: set->wanted of them */
    int begun;                /* sessions that have begun their handshake */
    int settled;              /* of these, that are through, or over */
    int64_t messages;
    struct epoll_event events[EVENTS_PER_WAIT];
    size_t buf_bytes;
    char *buf; /* owned */
};

static int loop_fail(struct loop *loop, const char *call, int err)
{
    loop->set->call = call;
    return -err;
}

/* Something of OpenSSL failed for reasons of its own, which go into the detail. */
static int loop_fail_ssl(struct loop *loop, const char *call, const char *about)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    snprintf(loop->set->detail, sizeof loop->set->detail, "%s: %s", about,
             reason != NULL ? reason : "OpenSSL gives no reason");
    ERR_clear_error();
    return loop_fail(loop, call, EINVAL);
}

/* op: EPOLL_CTL_ADD or EPOLL_CTL_MOD. session: NULL for the listener. */
static int loop_watch(struct loop *loop, int op, int fd, struct session *session, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = session};
    return epoll_ctl(loop->epoll_fd, op, fd, &event) == 0 ? 0 : loop_fail(loop, "epoll_ctl", errno);
}

/* ---- setting up --------------------------------------------------------------------------- */

static int context_open(struct loop *loop)
{
    const struct tls_job *job = &loop->job;

    ERR_clear_error(); /* the thread's queue is everybody's */
    SSL_CTX *context = loop->context = SSL_CTX_new(TLS_server_method());

    if (context == NULL || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION))
        return loop_fail_ssl(loop, "SSL_CTX_new", "TLS 1.3");
    if (SSL_CTX_use_certificate_chain_file(context, job->certfile) != 1)
        return loop_fail_ssl(loop, "SSL_CTX_use_certificate_chain_file", job->certfile);
    if (SSL_CTX_use_PrivateKey_file(context, job->keyfile, SSL_FILETYPE_PEM) != 1)
        return loop_fail_ssl(loop, "SSL_CTX_use_PrivateKey_file", job->keyfile);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0); /* no session is ever resumed */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* buffers of an idle connection are given back, as Python's ssl does: their memory compares */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context,
                           1); /* a record is one read, not one for its header and one more */
    return 0;
}

static int loop_prepare(struct loop *loop, struct echo_set *set)
{
    loop->set = set;
    loop->epoll_fd = -1;
    loop->buf_bytes = echo_buffer_bytes(set->msize);
    loop->buf = malloc(loop->buf_bytes);
    loop->sessions = calloc((size_t)set->wanted, sizeof *loop->sessions);
    if (loop->buf == NULL || loop->sessions == NULL)
        return loop_fail(loop, "malloc", ENOMEM);
    int err = context_open(loop);
    if (err < 0)
        return err;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return loop_fail(loop, "epoll_create1", errno);
    return loop_watch(loop, EPOLL_CTL_ADD, set->listener_fd, NULL, EPOLLIN);
}

/* ---- a session ---------------------------------------------------------------------------- */

/* Tells the peer if it can be told, and closes; that removes it from the epoll set. */
static void session_end(struct loop *loop, struct session *session)
{
    if (SSL_shutdown(session->ssl) < 0)
        ERR_clear_error();
    SSL_free(session->ssl);
    session->ssl = NULL;
    free(session->rest);
    session->rest = NULL;
    echo_conn_close(loop->set, session->conn);
    if (!session->shaken) {
        session->shaken = true;
        loop->settled++;
    }
}

/* What a call of OpenSSL that gave nothing means. Returns 1 when the session goes on, which may
 * take other events than before; 0 when the peer is gone, or breaks the rules of TLS; or a fault of
 * our own. */
static int session_wait(struct loop *loop, struct session *session, int result, const char *call)
{
    int number = errno;
    int error = SSL_get_error(session->ssl, result);

    if (error == SSL_ERROR_WANT_READ)
        return 1;
    if (error == SSL_ERROR_WANT_WRITE) {
        int err = loop_watch(loop, EPOLL_CTL_MOD, session->conn->fd, session, EPOLLOUT);
        return err < 0 ? err : 1;
    }
    ERR_clear_error();
    if (error == SSL_ERROR_SYSCALL && number != 0 && !echo_peer_gone(number))
        return loop_fail(loop, call, number);
    return 0;
}

static int session_begin(struct loop *loop, struct session *session, struct echo_conn *conn)
{
    session->conn = conn;
    session->ssl = SSL_new(loop->context);
    if (session->ssl == NULL || SSL_set_fd(session->ssl, conn->fd) != 1)
        return loop_fail_ssl(loop, "SSL_new", "a connection");
    SSL_set_accept_state(session->ssl);
    return loop_watch(loop, EPOLL_CTL_ADD, conn->fd, session, EPOLLIN);
}

/* Returns as session_wait. */
static int session_shake(struct loop *loop, struct session *session)
{
    int done = SSL_do_handshake(session->ssl);

    if (done != 1)
        return session_wait(loop, session, done, "SSL_do_handshake");
    session->shaken = true;
    loop->settled++;
    return 1;
}

/* Keeps what SSL_write did not take. Off the hot path. */
static int session_keep(struct loop *loop, struct session *session, const char *bytes, size_t size)
{
    char *rest = malloc(size);
    if (rest == NULL)
        return loop_fail(loop, "malloc", ENOMEM);
    memcpy(rest, bytes, size);
    free(session->rest);
    session->rest = rest;
    session->rest_bytes = size;
    return 1;
}

/* Sends all, or keeps the rest. Returns as session_wait. */
static int session_send(struct loop *loop, struct session *session, const char *bytes, size_t size)
{
    while (size > 0) {
        int sent = SSL_write(session->ssl, bytes, (int)size);
        if (sent <= 0) {
            int goes_on = session_wait(loop, session, sent, "SSL_write");
            return goes_on == 1 ? session_keep(loop, session, bytes, size) : goes_on;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
    return 1;
}

/* A session that could not send gets its rest out, and is read again only then. Returns as
 * session_wait. */
static int session_flush(struct loop *loop, struct session *session)
{
    char *rest = session->rest;

    session->rest = NULL;
    int goes_on = session_send(loop, session, rest, session->rest_bytes);
    free(rest);
    return goes_on;
}

/* Echoes what there is, in the socket and in OpenSSL. Returns as session_wait. */
static int session_echo(struct loop *loop, struct session *session)
{
    do {
        int got = SSL_read(session->ssl, loop->buf, (int)loop->buf_bytes);
        if (got <= 0)
            return session_wait(loop, session, got, "SSL_read");
        loop->messages++;
        int goes_on = session_send(loop, session, loop->buf, (size_t)got);
        if (goes_on != 1 || session->rest != NULL)
            return goes_on;
    } while (SSL_has_pending(session->ssl));
    return 1;
}

/* Returns as session_wait. */
static int session_turn(struct loop *loop, struct session *session, uint32_t events)
{
    int goes_on = 1, err;

    if ((events & EPOLLOUT) && /* the only thing it waited for */
        (err = loop_watch(loop, EPOLL_CTL_MOD, session->conn->fd, session, EPOLLIN)) < 0)
        return err;
    if (!session->shaken)
        goes_on = session_shake(loop, session);
    if (goes_on == 1 && session->rest != NULL)
        goes_on = session_flush(loop, session);
    if (goes_on == 1 && session->shaken && session->rest == NULL)
        goes_on = session_echo(loop, session);
    return goes_on;
}

/* ---- the loop ----------------------------------------------------------------------------- */

/* Waits a moment and takes turns. Returns 0, ECHO_AGAIN when there was nothing, or a negative
 * errno. */
static int loop_turn(struct loop *loop)
{
    int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_WAIT, ECHO_TICK_MS);

    if (n == 0 || (n < 0 && errno == EINTR))
        return ECHO_AGAIN;
    if (n < 0)
        return loop_fail(loop, "epoll_wait", errno);
    for (int i = 0; i < n; i++) {
        struct session *session = loop->events[i].data.ptr;
        if (session == NULL)
            continue; /* the listener: see loop_open */
        int goes_on = session_turn(loop, session, loop->events[i].events);
        if (goes_on < 0)
            return goes_on;
        if (goes_on == 0)
            session_end(loop, session);
    }
    return 0;
}

/* Accepts who has come, who then begins to shake hands. */
static int loop_accept(struct loop *loop)
{
    struct echo_set *set = loop->set;
    int result = echo_accept_now(set, SOCK_NONBLOCK);

    if (result < 0)
        return result;
    while (loop->begun < set->count) {
        int i = loop->begun++;
        int err = session_begin(loop, &loop->sessions[i], &set->conns[i]);
        if (err < 0)
            return err;
    }
    if (result == 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, set->listener_fd, NULL);
    return 0;
}

/* A step that is repeated until all have come and shaken hands. */
static int loop_open(void *state, struct echo_set *set)
{
    struct loop *loop = state;
    int err;

    if (loop->set == NULL && (err = loop_prepare(loop, set)) < 0)
        return err;
    if (set->count < set->wanted && (err = loop_accept(loop)) < 0)
        return err;
    if (loop->settled == set->wanted)
        return 0;
    err = loop_turn(loop);
    return err < 0 ? err : ECHO_AGAIN;
}

static int loop_run(void *state)
{
    struct loop *loop = state;

    for (int waits = 0; loop->set->alive > 0; waits++) {
        if (waits == ECHO_TICK_WAITS)
            return ECHO_AGAIN;
        int result = loop_turn(loop);
        if (result != 0)
            return result;
    }
    return 0;
}

static int64_t loop_close(void *state)
{
    struct loop *loop = state;

    if (loop->set == NULL)
        return 0;
    for (int i = 0; loop->sessions != NULL && i < loop->begun; i++)
        if (loop->sessions[i].ssl != NULL)
            session_end(loop, &loop->sessions[i]);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    SSL_CTX_free(loop->context);
    free(loop->sessions);
    free(loop->buf);
    return loop->messages;
}

static const struct echo_row tls_row = {sizeof(struct loop), loop_open, loop_run, loop_close};

/* ---- the module --------------------------------------------------------------------------- */

/* Paths are bytes while a call lasts. Returns 0, or -1 with an exception. */
static int paths_open(PyObject *const *args, Py_ssize_t nargs, PyObject *paths[2])
{
    paths[0] = paths[1] = NULL;
    if (!PyUnicode_FSConverter(args[4], &paths[0]))
        return -1;
    if (nargs > 5 && !PyUnicode_FSConverter(args[5], &paths[1])) {
        Py_CLEAR(paths[0]);
        return -1;
    }
    return 0;
}

static PyObject *tls_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *paths[2];

    if (glue_check_nargs("serve", nargs, 5, 6) < 0 || paths_open(args, nargs, paths) < 0)
        return NULL;
    struct tls_job job = {.certfile = PyBytes_AS_STRING(paths[0])};
    job.keyfile = paths[1] != NULL ? PyBytes_AS_STRING(paths[1]) : job.certfile;
    struct serve_call call = {
        .row = &tls_row, .accepts = true, .job = &job, .job_bytes = sizeof job};
    PyObject *result = serve_with(&call, false, args);
    Py_DECREF(paths[0]);
    Py_XDECREF(paths[1]);
    return result;
}

PyDoc_STRVAR(
    serve_doc,
    "serve($module, listener_fd, conns, msize, ready, certfile, keyfile=certfile, /)\n--\n\n"
    "As c_epoll.serve, over TLS 1.3: every connection has shaken hands before ready().\n\n"
    "certfile: path of a PEM file with the certificate, and its chain if there is one.\n"
    "keyfile: the same of its private key; left out, the key is in certfile.\n"
    "A connection whose handshake fails, or whose peer breaks the rules of TLS, has closed.\n"
    "Raises OSError as c_epoll.serve does, and naming the file that OpenSSL cannot use.");

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))tls_serve, METH_FASTCALL, serve_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.c_epoll_tls",
    .m_doc = "The row c_epoll over TLS: a C echo over level-triggered epoll and OpenSSL.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_c_epoll_tls(void)
{
    return PyModuleDef_Init(&module_def);
}
