/* The row c_poll: c_epoll with poll(2) instead. Same core, same two system calls per message; the
 * difference is that every wait hands the kernel all descriptors.
 *
 * Threading: everything in one call belongs to the calling thread, which has released the GIL. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyserve.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

struct loop {
    struct echo_set *set;     /* borrowed */
    struct pollfd *fds;       /* owned: the first set->alive are in use */
    struct echo_conn **conns; /* owned array: conns[i] belongs to fds[i] */
    int64_t messages;
    size_t buf_bytes;
    char *buf; /* owned */
};

static int loop_open(void *state, struct echo_set *set)
{
    struct loop *loop = state;
    size_t count = (size_t)set->count;

    loop->set = set;
    loop->fds = calloc(count, sizeof *loop->fds);
    loop->conns = calloc(count, sizeof(struct echo_conn *));
    loop->buf_bytes = echo_buffer_bytes(set->msize);
    loop->buf = malloc(loop->buf_bytes);
    if (loop->fds == NULL || loop->conns == NULL || loop->buf == NULL) {
        set->call = "calloc";
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        loop->conns[i] = &set->conns[i];
        loop->fds[i] = (struct pollfd){.fd = set->conns[i].fd, .events = POLLIN};
    }
    return 0;
}

/* Closes connection i and moves the last one into its place, with the events it has got. */
static void loop_drop(struct loop *loop, int i)
{
    echo_conn_close(loop->set, loop->conns[i]);
    loop->fds[i] = loop->fds[loop->set->alive];
    loop->conns[i] = loop->conns[loop->set->alive];
}

/* Returns 1 when the connection is still there, 0 when it was dropped, or a negative errno. A
 * connection with a rest waits for room only, as in c_epoll. */
static int loop_handle(struct loop *loop, int i)
{
    struct echo_conn *conn = loop->conns[i];
    const char **call = &loop->set->call;
    ssize_t result;

    if (conn->rest != NULL)
        result = echo_flush(conn, call);
    else {
        result = echo_turn(conn, loop->buf, loop->buf_bytes, call);
        loop->messages += result > 0;
    }
    if (result == 0) {
        loop_drop(loop, i);
        return 0;
    }
    loop->fds[i].events = conn->rest == NULL ? POLLIN : POLLOUT;
    return result > 0 || result == -EAGAIN ? 1 : (int)result;
}

static int loop_run(void *state)
{
    struct loop *loop = state;

    for (int waits = 0; loop->set->alive > 0; waits++) {
        if (waits == ECHO_TICK_WAITS)
            return ECHO_AGAIN;
        int ready = poll(loop->fds, (nfds_t)loop->set->alive, ECHO_TICK_MS);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            return ECHO_AGAIN;
        if (ready < 0) {
            loop->set->call = "poll";
            return -errno;
        }
        for (int i = 0; ready > 0 && i < loop->set->alive;) {
            int kept = 1;
            if (loop->fds[i].revents != 0) {
                ready--;
                kept = loop_handle(loop, i);
                if (kept < 0)
                    return kept;
            }
            i += kept;
        }
    }
    return 0;
}

static int64_t loop_close(void *state)
{
    struct loop *loop = state;

    free(loop->fds);
    free(loop->conns);
    free(loop->buf);
    return loop->messages;
}

static const struct echo_row poll_row = {sizeof(struct loop), loop_open, loop_run, loop_close};

static PyObject *poll_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return serve(&poll_row, SOCK_NONBLOCK, false, args, nargs);
}

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))poll_serve, METH_FASTCALL, SERVE_DOC},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.c_poll",
    .m_doc = "The row c_poll: a C echo over poll(2).",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_c_poll(void)
{
    return PyModuleDef_Init(&module_def);
}
