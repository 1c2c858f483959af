/* pybench.rawselect: epoll, recv and send for Python with nothing in between.
 *
 * For the row raw_selector: an echo loop in Python that costs little more than its system calls. A
 * selectors.DefaultSelector builds a key, a tuple and a list entry per event and a socket object
 * parses arguments and keeps a timeout per call; here wait() returns plain descriptor numbers, and
 * recv() and send() take them.
 *
 * Threading: an Epoll holds one number, which is atomic; wait() keeps its events on its own stack,
 * so that several threads may wait on one Epoll. Closing it under a waiting thread is as undefined
 * as closing any descriptor under a system call. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyglue.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_PER_WAIT = 1024 };

typedef struct {
    PyObject_HEAD atomic_int epoll_fd; /* owned; -1 once closed */
} Epoll;

/* ---- plain core ---- */

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What is left until a deadline, as epoll_wait wants it: rounded up, so that a wait is never too
 * short, and capped, so that a long one is waited for in parts. */
static int remaining_ms(int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - clock_ns();
    if (left_ns <= 0)
        return 0;
    int64_t left_ms = (left_ns + 999999) / 1000000;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static void epoll_close_fd(Epoll *self)
{
    int fd = atomic_exchange(&self->epoll_fd, -1);
    if (fd >= 0)
        close(fd); /* its number is free even when close reports an error: never repeat it */
}

/* ---- Epoll ---- */

/* The descriptor, or -1 with ValueError when closed. */
static int epoll_open_fd(Epoll *self)
{
    int fd = atomic_load_explicit(&self->epoll_fd, memory_order_relaxed);
    if (fd < 0)
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed Epoll");
    return fd;
}

static PyObject *Epoll_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (PyTuple_GET_SIZE(args) > 0 || (kwargs != NULL && PyDict_GET_SIZE(kwargs) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Epoll() takes no arguments");
        return NULL;
    }
    Epoll *self = (Epoll *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int err = errno;
    atomic_init(&self->epoll_fd, fd);
    if (fd < 0) {
        Py_DECREF(self);
        return glue_oserror(err, "epoll_create1", NULL);
    }
    return (PyObject *)self;
}

static int Epoll_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void Epoll_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    epoll_close_fd((Epoll *)self);
    type->tp_free(self);
    Py_DECREF(type); /* an instance of a heap type owns a reference to it */
}

static PyObject *epoll_control(Epoll *self, int op, PyObject *fd_arg, PyObject *events_arg)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (events_arg != NULL) {
        unsigned long events = PyLong_AsUnsignedLong(events_arg);
        if (events == (unsigned long)-1 && PyErr_Occurred())
            return NULL;
        if (events > UINT32_MAX)
            return PyErr_Format(PyExc_OverflowError, "events has more than 32 bits");
        event.events = (uint32_t)events;
    }
    int fd = glue_fd(fd_arg); /* its fileno() may close us */
    if (fd < 0)
        return NULL;
    int epoll_fd = epoll_open_fd(self);
    if (epoll_fd < 0)
        return NULL;
    event.data.fd = fd;
    if (epoll_ctl(epoll_fd, op, fd, &event) < 0)
        return glue_oserror(errno, "epoll_ctl", NULL);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(register_doc, "register($self, fd, events=1, /)\n--\n\n"
                           "Report fd from now on when one of events (EPOLLIN | ...) holds.\n\n"
                           "fd: a descriptor number, or an object with fileno().\n"
                           "Raises FileExistsError when it is registered already.");

static PyObject *Epoll_register(Epoll *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (glue_check_nargs("register", nargs, 1, 2) < 0)
        return NULL;
    return epoll_control(self, EPOLL_CTL_ADD, args[0], nargs == 2 ? args[1] : NULL);
}

PyDoc_STRVAR(modify_doc, "modify($self, fd, events, /)\n--\n\n"
                         "Report fd for these events instead.\n\n"
                         "Raises FileNotFoundError when it is not registered.");

static PyObject *Epoll_modify(Epoll *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (glue_check_nargs("modify", nargs, 2, 2) < 0)
        return NULL;
    return epoll_control(self, EPOLL_CTL_MOD, args[0], args[1]);
}

PyDoc_STRVAR(unregister_doc, "unregister($self, fd, /)\n--\n\n"
                             "Report fd no longer. Closing fd does the same.\n\n"
                             "Raises FileNotFoundError when it is not registered.");

static PyObject *Epoll_unregister(Epoll *self, PyObject *fd)
{
    return epoll_control(self, EPOLL_CTL_DEL, fd, NULL);
}

/* Parses wait(timeout=None). Returns -1 with an exception, 0 for no time limit (None), or 1 with
 * *deadline_ns set; a timeout of 0 sets it to 0, which has always passed. */
static int parse_timeout(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                         int64_t *deadline_ns)
{
    Py_ssize_t nkw = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (glue_check_nargs("wait", nargs + nkw, 0, 1) < 0)
        return -1;
    if (nkw == 1 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0), "timeout") != 0) {
        PyErr_Format(PyExc_TypeError, "wait() got an unexpected keyword argument %R",
                     PyTuple_GET_ITEM(kwnames, 0));
        return -1;
    }
    if (nargs + nkw == 0 || args[0] == Py_None)
        return 0;
    double timeout_s = PyFloat_AsDouble(args[0]);
    if (timeout_s == -1.0 && PyErr_Occurred())
        return -1;
    if (!(timeout_s >= 0)) { /* NaN too */
        PyErr_Format(PyExc_ValueError, "timeout must be None or at least 0, not %R", args[0]);
        return -1;
    }
    if (timeout_s > 1e9) /* thirty years: no limit, and no overflow below */
        return 0;
    *deadline_ns = timeout_s > 0 ? clock_ns() + (int64_t)ceil(timeout_s * 1e9) : 0;
    return 1;
}

/* Waits, running signal handlers when interrupted (PEP 475). Returns the number of events, or -1
 * with an exception. Only a wait that may block releases the GIL. */
static int epoll_wait_events(Epoll *self, int limited, int64_t deadline_ns,
                             struct epoll_event *events)
{
    for (;;) {
        int n, err;
        int epoll_fd = epoll_open_fd(self); /* a signal handler may have closed it */
        if (epoll_fd < 0)
            return -1;
        if (limited && deadline_ns == 0) {
            n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, 0);
            err = errno;
        } else {
            int timeout_ms = limited ? remaining_ms(deadline_ns) : -1;
            Py_BEGIN_ALLOW_THREADS
                n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, timeout_ms);
                err = errno;
            Py_END_ALLOW_THREADS
        }
        if (n > 0)
            return n;
        if (n < 0 && err != EINTR) {
            glue_oserror(err, "epoll_wait", NULL);
            return -1;
        }
        if (n < 0 && PyErr_CheckSignals() < 0)
            return -1;
        if (limited && (deadline_ns == 0 || remaining_ms(deadline_ns) == 0))
            return 0;
    }
}

PyDoc_STRVAR(wait_doc,
             "wait($self, timeout=None)\n--\n\n"
             "The descriptors that are ready, at most 1024 of them; [] at the timeout.\n\n"
             "timeout: seconds, rounded up to milliseconds; None waits for ever, 0 only\n"
             "looks. A descriptor with an error or a hang-up is always ready.");

static PyObject *Epoll_wait(Epoll *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int64_t deadline_ns = 0;

    int limited =
        parse_timeout(args, nargs, kwnames, &deadline_ns); /* its __float__ may close us */
    if (limited < 0)
        return NULL;
    int n = epoll_wait_events(self, limited, deadline_ns, events);
    if (n < 0)
        return NULL;
    PyObject *ready = PyList_New(n);
    if (ready == NULL)
        return NULL;
    for (int i = 0; i < n; i++) {
        PyObject *fd = PyLong_FromLong(events[i].data.fd);
        if (fd == NULL) {
            Py_DECREF(ready);
            return NULL;
        }
        PyList_SET_ITEM(ready, i, fd); /* takes the reference */
    }
    return ready;
}

PyDoc_STRVAR(close_doc,
             "close($self)\n--\n\nClose the epoll descriptor. Closing twice is harmless.");

static PyObject *Epoll_close(Epoll *self, PyObject *Py_UNUSED(none))
{
    epoll_close_fd(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fileno_doc, "fileno($self)\n--\n\nThe epoll descriptor. ValueError when closed.");

static PyObject *Epoll_fileno(Epoll *self, PyObject *Py_UNUSED(none))
{
    int fd = epoll_open_fd(self);
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

PyDoc_STRVAR(enter_doc, "__enter__($self)\n--\n\nItself. ValueError when closed.");

static PyObject *Epoll_enter(Epoll *self, PyObject *Py_UNUSED(none))
{
    if (epoll_open_fd(self) < 0)
        return NULL;
    Py_INCREF(self);
    return (PyObject *)self;
}

PyDoc_STRVAR(exit_doc, "__exit__($self, /, *exc_info)\n--\n\nClose.");

static PyObject *Epoll_exit(Epoll *self, PyObject *Py_UNUSED(exc_info))
{
    epoll_close_fd(self);
    Py_RETURN_NONE;
}

static PyObject *Epoll_get_closed(Epoll *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(atomic_load_explicit(&self->epoll_fd, memory_order_relaxed) < 0);
}

#define FASTCALL(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef Epoll_methods[] = {
    {"register", FASTCALL(Epoll_register), METH_FASTCALL, register_doc},
    {"modify", FASTCALL(Epoll_modify), METH_FASTCALL, modify_doc},
    {"unregister", (PyCFunction)Epoll_unregister, METH_O, unregister_doc},
    {"wait", FASTCALL(Epoll_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"close", (PyCFunction)Epoll_close, METH_NOARGS, close_doc},
    {"fileno", (PyCFunction)Epoll_fileno, METH_NOARGS, fileno_doc},
    {"__enter__", (PyCFunction)Epoll_enter, METH_NOARGS, enter_doc},
    {"__exit__", (PyCFunction)Epoll_exit, METH_VARARGS, exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Epoll_getset[] = {
    {"closed", (getter)Epoll_get_closed, NULL, "True once close() was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(Epoll_doc, "Epoll()\n--\n\n"
                        "A level-triggered epoll instance that reports descriptor numbers.\n\n"
                        "A context manager: leaving it closes it.");

static PyType_Slot Epoll_slots[] = {
    {Py_tp_new, Epoll_new},
    {Py_tp_dealloc, Epoll_dealloc},
    {Py_tp_traverse, Epoll_traverse},
    {Py_tp_methods, Epoll_methods},
    {Py_tp_getset, Epoll_getset},
    {Py_tp_doc, (void *)Epoll_doc},
    {0, NULL},
};

static PyType_Spec Epoll_spec = {
    .name = "pybench.rawselect.Epoll",
    .basicsize = sizeof(Epoll),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Epoll_slots,
};

/* ---- module functions ---- */

/* recv and send keep the GIL: MSG_DONTWAIT makes sure that neither waits, whatever the mode of the
 * descriptor, so that another thread loses a copy's time at most. Releasing it around them made a
 * send and a recv of 64 bytes over a socket pair cost 1.6 instead of 1.3 us. */

PyDoc_STRVAR(recv_doc,
             "recv($module, fd, n, /)\n--\n\n"
             "Up to n (>= 1) bytes that have arrived on socket fd; b'' at its end.\n\n"
             "Never waits, whatever the mode of fd: BlockingIOError when there is nothing.");

static PyObject *raw_recv(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (glue_check_nargs("recv", nargs, 2, 2) < 0)
        return NULL;
    Py_ssize_t size = PyNumber_AsSsize_t(args[1], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size < 1)
        return PyErr_Format(PyExc_ValueError, "n must be at least 1, not %zd", size);
    int fd = glue_fd(args[0]); /* last: converting the other may run Python, which may close it */
    if (fd < 0)
        return NULL;
    PyObject *data = PyBytes_FromStringAndSize(NULL, size);
    if (data == NULL)
        return NULL;
    ssize_t got = recv(fd, PyBytes_AS_STRING(data), (size_t)size, MSG_DONTWAIT);
    if (got < 0) {
        int err = errno;
        Py_DECREF(data);
        return glue_oserror(err, "recv", NULL);
    }
    if (got < size)
        _PyBytes_Resize(&data, got); /* on failure data is NULL and the exception set */
    return data;
}

PyDoc_STRVAR(send_doc,
             "send($module, fd, data, /)\n--\n\n"
             "Send bytes-like data on socket fd; returns how many bytes were taken.\n\n"
             "Never waits, whatever the mode of fd: BlockingIOError when there is no room.");

static PyObject *raw_send(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    ssize_t sent;
    int err;

    if (glue_check_nargs("send", nargs, 2, 2) < 0)
        return NULL;
    if (PyBytes_CheckExact(args[1])) { /* immutable, and the caller holds it: no buffer needed */
        int fd = glue_fd(args[0]);
        if (fd < 0)
            return NULL;
        sent = send(fd, PyBytes_AS_STRING(args[1]), (size_t)PyBytes_GET_SIZE(args[1]),
                    MSG_DONTWAIT | MSG_NOSIGNAL);
        err = errno;
    } else {
        Py_buffer view;
        if (PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
            return NULL;
        int fd = glue_fd(args[0]); /* last: getting the buffer may run Python, which may close it */
        if (fd < 0) {
            PyBuffer_Release(&view);
            return NULL;
        }
        sent = send(fd, view.buf, (size_t)view.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        err = errno;
        PyBuffer_Release(&view);
    }
    if (sent < 0)
        return glue_oserror(err, "send", NULL);
    return PyLong_FromSsize_t(sent);
}

static PyMethodDef methods[] = {
    {"recv", FASTCALL(raw_recv), METH_FASTCALL, recv_doc},
    {"send", FASTCALL(raw_send), METH_FASTCALL, send_doc},
    {NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    uint32_t value;
} constants[] = {
    {"EPOLLIN", EPOLLIN},   {"EPOLLOUT", EPOLLOUT},         {"EPOLLPRI", EPOLLPRI},
    {"EPOLLERR", EPOLLERR}, {"EPOLLHUP", EPOLLHUP},         {"EPOLLRDHUP", EPOLLRDHUP},
    {"EPOLLET", EPOLLET},   {"EPOLLONESHOT", EPOLLONESHOT}, {"EPOLLEXCLUSIVE", EPOLLEXCLUSIVE},
};

static int module_exec(PyObject *module)
{
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        PyObject *value = PyLong_FromUnsignedLong(constants[i].value);
        if (value == NULL)
            return -1;
        int err = PyModule_AddObjectRef(module, constants[i].name, value);
        Py_DECREF(value);
        if (err < 0)
            return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &Epoll_spec, NULL);
    if (type == NULL)
        return -1;
    int err = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return err;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, module_exec}, GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.rawselect",
    .m_doc = "epoll, recv and send on descriptor numbers, without socket objects.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_rawselect(void)
{
    return PyModuleDef_Init(&module_def);
}
