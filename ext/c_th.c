/* The row c_th: one POSIX thread per connection, blocking sockets.
 *
 * All stacks are slots of one mapping. A stack that pthread_create makes itself costs 8 MiB of
 * address space and two mappings (stack and guard page), so that vm.max_map_count = 65530 ends at
 * about 32,000 threads; here the stacks cost one mapping altogether, and kernel.pid_max,
 * kernel.threads-max and the limits of the user and the cgroup are what remains.
 *
 *   slot:  | receive buffer | stack, grows down towards the buffer |
 *
 * There are no guard pages: each would split the mapping again. The loop's depth is fixed (one
 * system call wrapper below echo_turn_blocking), no signal handler runs on these stacks, and what
 * lies below a stack is its own buffer.
 *
 * Where one table of descriptors is too small for all connections, shares.c runs this in several
 * threads, each with a table that the threads it starts have with it.
 *
 * Threading: thread i alone uses set->conns[i]; it shuts its socket down and never closes it, so
 * that the number cannot be reused while close_threads still wants to shut it down. The calling
 * thread closes the sockets after the join. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyserve.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Above the system's minimum, which covers thread-local storage and one signal frame: the loop's
 * few frames and the dynamic linker resolving recv and send on their first call. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LOOP_STACK_BYTES = 1024 * 1024 };
#else
enum { LOOP_STACK_BYTES = 8 * 1024 };
#endif
enum { LARGEST_STACK_BYTES = 4 * 1024 * 1024, SMALLEST_BUFFER_BYTES = 4 * 1024 };

struct threads;

struct thread {
    pthread_t id;
    struct threads *threads;
    int fd;
    int err;          /* 0 or a negative errno: why the thread gave up its connection ... */
    const char *call; /* ... and the system call that said so */
    char *buf;
    int64_t messages;
};

struct threads {
    struct echo_set *set;   /* borrowed */
    struct thread *threads; /* owned: `started` of set->count elements run or ran */
    int started;
    char *arena; /* owned mapping of set->count slots */
    size_t arena_bytes;
    size_t stack_bytes;
    size_t buffer_bytes;
    int wake_fd; /* eventfd, written when the last thread has ended or one has failed */
    atomic_int running;
    _Atomic(struct thread *) failed; /* the first that failed; its err and call are final */
};

static void *thread_main(void *arg)
{
    struct thread *thread = arg;
    struct threads *threads = thread->threads;
    struct thread *none = NULL;
    int64_t messages = 0;
    ssize_t got;

    while ((got = echo_turn_blocking(thread->fd, thread->buf, threads->buffer_bytes,
                                     &thread->call)) > 0)
        messages++;
    thread->messages = messages;
    thread->err = (int)got;
    shutdown(thread->fd, SHUT_RDWR);
    if (got < 0)
        atomic_compare_exchange_strong(&threads->failed, &none, thread);
    if (atomic_fetch_sub(&threads->running, 1) == 1 || got < 0)
        eventfd_write(threads->wake_fd, 1);
    return NULL;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* A buffer for a whole message, within reason. Only the pages that messages reach become real. */
static size_t choose_buffer(size_t msize, size_t page)
{
    if (msize > ECHO_BUFFER_LEAST)
        return round_up(echo_buffer_bytes(msize), page);
    return round_up(msize < SMALLEST_BUFFER_BYTES ? SMALLEST_BUFFER_BYTES : msize, page);
}

static int arena_map(struct threads *threads)
{
    size_t slot_bytes = threads->buffer_bytes + threads->stack_bytes;

    threads->arena_bytes = slot_bytes * (size_t)threads->set->count;
    threads->arena = mmap(NULL, threads->arena_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (threads->arena == MAP_FAILED) {
        threads->arena = NULL;
        threads->set->call = "mmap";
        return -errno;
    }
    /* A huge page would make the untouched parts of many slots real. */
    madvise(threads->arena, threads->arena_bytes, MADV_NOHUGEPAGE);
    return 0;
}

static void arena_unmap(struct threads *threads)
{
    if (threads->arena != NULL)
        munmap(threads->arena, threads->arena_bytes);
    threads->arena = NULL;
}

/* Returns 0 or a positive error number, as pthread_create does. */
static int thread_start(struct threads *threads, int i, pthread_attr_t *attr)
{
    struct thread *thread = &threads->threads[i];
    char *slot = threads->arena + (size_t)i * (threads->buffer_bytes + threads->stack_bytes);

    *thread = (struct thread){.threads = threads, .fd = threads->set->conns[i].fd, .buf = slot};
    int err = pthread_attr_setstack(attr, slot + threads->buffer_bytes, threads->stack_bytes);
    return err != 0 ? err : pthread_create(&thread->id, attr, thread_main, thread);
}

/* glibc puts the static thread-local storage of all loaded libraries on the stack and answers
 * EINVAL when that leaves too little: its size is not public, so the first thread finds it out. */
static int start_first(struct threads *threads, pthread_attr_t *attr)
{
    for (;;) {
        int err = arena_map(threads);
        if (err < 0)
            return err;
        err = thread_start(threads, 0, attr);
        if (err == 0)
            return 0;
        threads->set->call = "pthread_create";
        if (err != EINVAL || threads->stack_bytes >= LARGEST_STACK_BYTES)
            return -err;
        arena_unmap(threads);
        threads->stack_bytes *= 2;
    }
}

static long read_number(const char *path, const char *format)
{
    long value = -1;
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, format, &value) != 1)
            value = -1;
        fclose(file);
    }
    return value;
}

/* Says how far it got and which limit stopped it, while the threads can still be counted. */
static void describe_limit(struct threads *threads)
{
    struct echo_set *set = threads->set;
    long running = read_number("/proc/loadavg", "%*f %*f %*f %*d/%ld");
    long pid_max = read_number("/proc/sys/kernel/pid_max", "%ld");
    long threads_max = read_number("/proc/sys/kernel/threads-max", "%ld");
    const char *name = pid_max < threads_max ? "kernel.pid_max" : "kernel.threads-max";
    long limit = pid_max < threads_max ? pid_max : threads_max;
    int n = snprintf(set->detail, sizeof set->detail, "%d of %d threads started; ",
                     set->earlier + threads->started, set->total);

    /* pid_max is reached early: 300 numbers are reserved, and process groups keep some. */
    if (running >= limit - limit / 16)
        snprintf(set->detail + n, sizeof set->detail - (size_t)n, "%s is %ld", name, limit);
    else
        snprintf(set->detail + n, sizeof set->detail - (size_t)n,
                 "%s is %ld and not reached: the limit is the user's (ulimit -u) or the cgroup's "
                 "(pids.max)",
                 name, limit);
}

static int start_all(struct threads *threads, pthread_attr_t *attr)
{
    int err = start_first(threads, attr);
    if (err == 0)
        threads->started = 1;
    for (; err == 0 && threads->started < threads->set->count; threads->started++) {
        err = -thread_start(threads, threads->started, attr);
        if (err < 0) {
            threads->set->call = "pthread_create";
            break;
        }
    }
    if (err == -EAGAIN)
        describe_limit(threads);
    return err;
}

static int threads_open(void *state, struct echo_set *set)
{
    struct threads *threads = state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    long least = sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_t attr;
    sigset_t all, before;

    threads->set = set;
    threads->stack_bytes =
        round_up(LOOP_STACK_BYTES + (least > 0 ? (size_t)least : (size_t)PTHREAD_STACK_MIN), page);
    threads->buffer_bytes = choose_buffer(set->msize, page);
    atomic_init(&threads->running, set->count);
    atomic_init(&threads->failed, NULL);
    threads->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (threads->wake_fd < 0) {
        set->call = "eventfd";
        return -errno;
    }
    threads->threads = calloc((size_t)set->count, sizeof *threads->threads);
    if (threads->threads == NULL || pthread_attr_init(&attr) != 0) {
        set->call = "calloc";
        return -ENOMEM;
    }
    /* Threads inherit the mask: signals are the calling thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int err = start_all(threads, &attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return err;
}

static int threads_run(void *state)
{
    struct threads *threads = state;
    struct pollfd wake = {.fd = threads->wake_fd, .events = POLLIN};

    int n = poll(&wake, 1, ECHO_TICK_MS);
    if (n == 0 || (n < 0 && errno == EINTR))
        return ECHO_AGAIN;
    if (n < 0) {
        threads->set->call = "poll";
        return -errno;
    }
    struct thread *failed = atomic_load(&threads->failed);
    if (failed == NULL)
        return 0;
    threads->set->call = failed->call;
    return failed->err;
}

/* Joins and adds up. A socket that is shut down ends the thread that waits on it. */
static int64_t threads_join(struct threads *threads)
{
    int64_t messages = 0;

    for (int i = 0; i < threads->started; i++)
        shutdown(threads->threads[i].fd, SHUT_RDWR);
    for (int i = 0; i < threads->started; i++) {
        pthread_join(threads->threads[i].id, NULL);
        messages += threads->threads[i].messages;
    }
    return messages;
}

static int64_t threads_close(void *state)
{
    struct threads *threads = state;
    int64_t messages = threads_join(threads);

    arena_unmap(threads);
    free(threads->threads);
    if (threads->wake_fd >= 0)
        close(threads->wake_fd);
    return messages;
}

static const struct echo_row thread_row = {sizeof(struct threads), threads_open, threads_run,
                                           threads_close};

static PyObject *thread_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return serve(&thread_row, 0, true, args, nargs);
}

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))thread_serve, METH_FASTCALL, SERVE_DOC},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.c_th",
    .m_doc = "The row c_th: a C echo with one POSIX thread per connection.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_c_th(void)
{
    return PyModuleDef_Init(&module_def);
}
