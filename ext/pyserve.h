/* serve(listener_fd, conns, msize, ready, /) of every C row: the same steps around a different
 * struct echo_row. Each row's module includes this once.
 *
 * Steps run with the GIL released and call no Python; between two steps signal handlers run, so
 * that Ctrl-C raises KeyboardInterrupt out of accept as well as out of the loop. Whatever happens,
 * every socket accepted here is closed on return.
 */
#ifndef PYBENCH_PYSERVE_H
#define PYBENCH_PYSERVE_H

#include "echo.h"
#include "pyglue.h"
#include "shares.h"

#define SERVE_DOC                                                                                  \
    "serve($module, listener_fd, conns, msize, ready, /)\n--\n\n"                                  \
    "Accept conns connections, call ready(), echo until every peer has closed.\n\n"                \
    "listener_fd: a bound, listening stream socket; it stays open and keeps its blocking mode.\n"  \
    "conns: how many connections will come, >= 1.  msize: bytes of a message, >= 1; a hint, any\n" \
    "size is echoed.  ready: called once, without arguments, after the last accept.\n"             \
    "Returns the number of chunks echoed. A peer that resets its connection has closed it.\n"      \
    "Raises OSError naming the system call, and whatever ready() raises."

struct serve_call {
    const struct echo_row *row;
    void *state; /* owned */
    struct echo_set set;
    int accept_flags;
    bool accepts;    /* the row accepts by itself: its open is a step that is repeated */
    const void *job; /* borrowed: what its state begins with, job_bytes of it; or NULL */
    size_t job_bytes;
};

static int serve_accept_step(struct serve_call *call)
{
    return echo_accept(&call->set, call->accept_flags);
}

static int serve_open_step(struct serve_call *call)
{
    return call->row->open(call->state, &call->set);
}

static int serve_run_step(struct serve_call *call)
{
    return call->row->run(call->state);
}

/* Repeats a step until it is finished. Returns 0, or -1 with an exception. */
static int serve_steps(struct serve_call *call, int (*step)(struct serve_call *))
{
    int result;

    do {
        Py_BEGIN_ALLOW_THREADS
            result = step(call);
        Py_END_ALLOW_THREADS
        if (result < 0) {
            glue_oserror(-result, call->set.call, call->set.detail);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    } while (result == ECHO_AGAIN);
    return 0;
}

static int serve_ready(PyObject *ready)
{
    PyObject *result = PyObject_CallNoArgs(ready);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
}

/* Returns the number of messages echoed, or -1 with an exception. Frees what the call owns. */
static int64_t serve_run(struct serve_call *call, int listener_fd, int conns, size_t msize,
                         PyObject *ready)
{
    int failed = -1;
    int64_t messages = 0;

    call->state = PyMem_Calloc(1, call->row->state_bytes);
    if (call->state == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (call->job != NULL)
        memcpy(call->state, call->job, call->job_bytes);
    int err = echo_set_open(&call->set, listener_fd, conns, msize);
    if (err < 0)
        glue_oserror(-err, call->set.call, NULL);
    else if (call->accepts || serve_steps(call, serve_accept_step) == 0) {
        failed = serve_steps(call, serve_open_step) < 0 || serve_ready(ready) < 0 ||
                 serve_steps(call, serve_run_step) < 0;
        Py_BEGIN_ALLOW_THREADS
            messages = call->row->close(call->state);
        Py_END_ALLOW_THREADS
    }
    Py_BEGIN_ALLOW_THREADS
        echo_set_close(&call->set);
    Py_END_ALLOW_THREADS
    PyMem_Free(call->state);
    return failed ? -1 : messages;
}

/* As serve below, for a call that is made but for its arguments, of which there are four. */
static PyObject *serve_with(struct serve_call *call, bool may_share, PyObject *const *args)
{
    struct shares_job job = {.row = call->row, .accept_flags = call->accept_flags};

    Py_ssize_t conns = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (conns == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t msize = PyNumber_AsSsize_t(args[2], PyExc_OverflowError);
    if (msize == -1 && PyErr_Occurred())
        return NULL;
    if (conns < 1 || conns > INT_MAX)
        return PyErr_Format(PyExc_ValueError, "conns must be 1 to %d, not %zd", INT_MAX, conns);
    if (msize < 1)
        return PyErr_Format(PyExc_ValueError, "msize must be at least 1, not %zd", msize);
    if (!PyCallable_Check(args[3]))
        return PyErr_Format(PyExc_TypeError, "ready must be callable, not %.100s",
                            Py_TYPE(args[3])->tp_name);
    int listener_fd = glue_fd(args[0]); /* last: converting may run Python, which may close it */
    if (listener_fd < 0)
        return NULL;

    if (may_share && shares_needed((int)conns) > 1) {
        call->row = &shares_row;
        call->accepts = true;
        call->job = &job;
        call->job_bytes = sizeof job;
    }
    int64_t messages = serve_run(call, listener_fd, (int)conns, (size_t)msize, args[3]);
    return messages < 0 ? NULL : PyLong_FromLongLong(messages);
}

/* The METH_FASTCALL body of a row's serve(). accept_flags: as for accept4. may_share: whether the
 * row is still the same in several threads, when one cannot have all connections. */
static inline PyObject *serve(const struct echo_row *row, int accept_flags, bool may_share,
                              PyObject *const *args, Py_ssize_t nargs)
{
    struct serve_call call = {.row = row, .accept_flags = accept_flags};

    if (glue_check_nargs("serve", nargs, 4, 4) < 0)
        return NULL;
    return serve_with(&call, may_share, args);
}

#endif
