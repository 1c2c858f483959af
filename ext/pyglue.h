/* What every extension module here needs from CPython: an OSError that names the system call, and
 * the declarations of a module without global state. */
#ifndef PYBENCH_PYGLUE_H
#define PYBENCH_PYGLUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

/* Raises the OSError subclass of a positive errno, e.g. "[Errno 24] accept4: Too many open files
 * (8 of 10 connections accepted)". detail may be empty or NULL. Returns NULL. */
static inline PyObject *glue_oserror(int err, const char *call, const char *detail)
{
    const char *text = detail == NULL ? "" : detail;
    PyObject *message = PyUnicode_FromFormat("%s: %s%s%s%s", call, strerror(err), *text ? " (" : "",
                                             text, *text ? ")" : "");
    if (message == NULL)
        return NULL;
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "iN", err, message);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* A file descriptor from an int, or from anything with fileno(). Returns -1 with an exception. */
static inline int glue_fd(PyObject *value)
{
    if (PyLong_CheckExact(value)) { /* no attribute lookup for the usual case */
        int overflow;
        long fd = PyLong_AsLongAndOverflow(value, &overflow);
        if (!overflow && fd >= 0 && fd <= INT_MAX)
            return (int)fd;
    }
    return PyObject_AsFileDescriptor(value);
}

/* TypeError unless a METH_FASTCALL function got `least` to `most` arguments. Returns 0 or -1. */
static inline int glue_check_nargs(const char *name, Py_ssize_t nargs, int least, int most)
{
    if (nargs >= least && nargs <= most)
        return 0;
    if (least == most)
        PyErr_Format(PyExc_TypeError, "%s() takes %d arguments (%zd given)", name, least, nargs);
    else
        PyErr_Format(PyExc_TypeError, "%s() takes %d to %d arguments (%zd given)", name, least,
                     most, nargs);
    return -1;
}

/* The slots of a module that has no static variable and no object shared between interpreters:
 * each interpreter that imports it gets its own, under its own GIL. Without a GIL the modules stay
 * correct as well: what two threads could both reach is a file descriptor number, and that is
 * immutable (an argument) or atomic (Epoll); everything else belongs to one call. */
#ifdef Py_mod_multiple_interpreters
#define GLUE_INTERPRETERS_SLOT {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define GLUE_INTERPRETERS_SLOT
#endif
#ifdef Py_mod_gil
#define GLUE_GIL_SLOT {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define GLUE_GIL_SLOT
#endif
#define GLUE_MODULE_SLOTS GLUE_INTERPRETERS_SLOT GLUE_GIL_SLOT

#endif
