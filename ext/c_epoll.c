/* The row c_epoll: one thread, level-triggered epoll, non-blocking sockets, two system calls per
 * message. What Python could at best be: no object is made and no Python runs in the loop.
 *
 * Threading: everything in one call belongs to the calling thread, which has released the GIL. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyserve.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_PER_WAIT = 1024 };

struct loop {
    struct echo_set *set; /* borrowed */
    int epoll_fd;
    int64_t messages;
    struct epoll_event events[EVENTS_PER_WAIT];
    size_t buf_bytes;
    char *buf; /* owned */
};

/* op: EPOLL_CTL_ADD or EPOLL_CTL_MOD. Level-triggered: what is left over is reported again. */
static int loop_watch(struct loop *loop, int op, struct echo_conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(loop->epoll_fd, op, conn->fd, &event) == 0)
        return 0;
    loop->set->call = "epoll_ctl";
    return -errno;
}

static int loop_open(void *state, struct echo_set *set)
{
    struct loop *loop = state;

    loop->set = set;
    loop->epoll_fd = -1;
    loop->buf_bytes = echo_buffer_bytes(set->msize);
    loop->buf = malloc(loop->buf_bytes);
    if (loop->buf == NULL) {
        set->call = "malloc";
        return -ENOMEM;
    }
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        set->call = "epoll_create1";
        return -errno;
    }
    for (int i = 0; i < set->count; i++) {
        int err = loop_watch(loop, EPOLL_CTL_ADD, &set->conns[i], EPOLLIN);
        if (err < 0)
            return err;
    }
    return 0;
}

/* A connection whose peer reads slowly waits for room and nothing else: it is not read, so it
 * neither grows nor spins, and the others go on. Two epoll_ctl per stall. */
static int loop_handle(struct loop *loop, struct echo_conn *conn)
{
    const char **call = &loop->set->call;

    if (conn->rest != NULL) {
        int flushed = echo_flush(conn, call);
        if (flushed == 1)
            return loop_watch(loop, EPOLL_CTL_MOD, conn, EPOLLIN);
        if (flushed == 0)
            echo_conn_close(loop->set, conn);
        return flushed == -EAGAIN ? 0 : flushed;
    }
    ssize_t got = echo_turn(conn, loop->buf, loop->buf_bytes, call);
    if (got > 0) {
        loop->messages++;
        return conn->rest == NULL ? 0 : loop_watch(loop, EPOLL_CTL_MOD, conn, EPOLLOUT);
    }
    if (got == 0)
        echo_conn_close(loop->set, conn); /* closing removes it from the epoll set */
    return got == -EAGAIN ? 0 : (int)got;
}

static int loop_run(void *state)
{
    struct loop *loop = state;

    for (int waits = 0; loop->set->alive > 0; waits++) {
        if (waits == ECHO_TICK_WAITS)
            return ECHO_AGAIN;
        int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_WAIT, ECHO_TICK_MS);
        if (n == 0 || (n < 0 && errno == EINTR))
            return ECHO_AGAIN;
        if (n < 0) {
            loop->set->call = "epoll_wait";
            return -errno;
        }
        for (int i = 0; i < n; i++) {
            int err = loop_handle(loop, loop->events[i].data.ptr);
            if (err < 0)
                return err;
        }
    }
    return 0;
}

static int64_t loop_close(void *state)
{
    struct loop *loop = state;

    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop->buf);
    return loop->messages;
}

static const struct echo_row epoll_row = {sizeof(struct loop), loop_open, loop_run, loop_close};

static PyObject *epoll_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return serve(&epoll_row, SOCK_NONBLOCK, false, args, nargs);
}

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))epoll_serve, METH_FASTCALL, SERVE_DOC},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.c_epoll",
    .m_doc = "The row c_epoll: a C echo over level-triggered epoll.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_c_epoll(void)
{
    return PyModuleDef_Init(&module_def);
}
