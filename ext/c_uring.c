/* The row c_uring: one thread, io_uring. Multishot receives into a ring of provided buffers, sends
 * submitted in batches: no system call per message. How far any epoll row is from what the kernel
 * can do.
 *
 *   completion of a receive -> the buffer joins its connection's queue -> a send takes the first of
 *   the queue -> completion of the send -> the buffer goes back to the kernel
 *
 * One send per connection at a time: two in flight could overtake each other. A connection whose
 * queue grows long, because its peer does not read, is not received from until it is short again,
 * so that it cannot take the buffers from the others.
 *
 * Threading: everything in one call belongs to the calling thread, which has released the GIL.
 * Needs liburing at build time and Linux 6.1. */
#define _GNU_SOURCE 1 /* as pyconfig.h has it */
#include "pyserve.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

enum {
    SQ_ENTRIES = 4096,
    CQ_ENTRIES_MAX = 65536,
    BATCH = 256,
    BUFFER_MIN = 64,
    BUFFER_MAX = 16 * 1024,
    BUFFERS_MIN = 1024,
    BUFFERS_MAX = 32768, /* the kernel's limit of a buffer ring */
    BUFFERS_BYTES = 32 << 20,
    QUEUE_LONG = 16, /* buffers: receiving pauses */
    NO_BUFFER = -1,
    REQUESTS_PER_COMPLETION = 2, /* at most: a send or a receive, and a cancel */
    SHORTAGES_MAX = 5000,        /* in a row, a millisecond apart */
};

/* What a completion is about, in the low bits of its user data; above them the connection. */
enum tag { TAG_RECEIVE, TAG_SEND, TAG_CANCEL, TAG_BITS = 2 };

/* The side of a connection that echo_conn has no room for. */
struct turn {
    int first, last; /* buffers to be sent, in order; NO_BUFFER when there are none */
    int queued;
    bool sending;   /* the first buffer is with the kernel */
    bool receiving; /* a multishot receive is armed */
    bool paused;    /* the queue is long: do not arm */
    bool ended;     /* the peer sends no more: close when the queue is empty */
};

struct buffer {
    int next;
    unsigned length;
};

struct loop {
    struct echo_set *set; /* borrowed */
    struct io_uring ring;
    bool ring_made;
    struct io_uring_buf_ring *buffer_ring; /* mmap'ed */
    unsigned buffer_count, buffer_size;
    char *bytes;            /* owned: buffer_count of buffer_size */
    struct buffer *buffers; /* owned: buffer_count */
    struct turn *turns;     /* owned: one per connection of the set */
    int *starved;           /* owned: connections that wait for a buffer and for their receive */
    int starved_count;
    int shortages; /* how often in a row the kernel had no memory or no room */
    int err;       /* a completion that failed for a reason of our own: a negative errno */
    int64_t messages;
};

/* ---- set-up --------------------------------------------------------------------------------- */

static int failed(struct loop *loop, const char *call, int err)
{
    loop->set->call = call;
    return err;
}

static unsigned power_of_two_from(unsigned n)
{
    unsigned power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static unsigned clamp(size_t n, unsigned low, unsigned high)
{
    return n < low ? low : n > high ? high : (unsigned)n;
}

static size_t buffer_ring_bytes(const struct loop *loop)
{
    return loop->buffer_count * sizeof(struct io_uring_buf);
}

static void buffer_give(struct loop *loop, int id)
{
    io_uring_buf_ring_add(loop->buffer_ring, loop->bytes + (size_t)id * loop->buffer_size,
                          loop->buffer_size, (unsigned short)id,
                          io_uring_buf_ring_mask(loop->buffer_count), 0);
    io_uring_buf_ring_advance(loop->buffer_ring, 1);
}

static int open_ring(struct loop *loop)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL,
        .cq_entries =
            clamp(power_of_two_from(4u * (unsigned)loop->set->count), SQ_ENTRIES, CQ_ENTRIES_MAX),
    };
    int err = io_uring_queue_init_params(SQ_ENTRIES, &loop->ring, &params);
    if (err < 0)
        return failed(loop, "io_uring_setup", err);
    loop->ring_made = true;

    int *fds = calloc((size_t)loop->set->count, sizeof *fds);
    if (fds == NULL)
        return failed(loop, "calloc", -ENOMEM);
    for (int i = 0; i < loop->set->count; i++)
        fds[i] = loop->set->conns[i].fd;
    err = io_uring_register_files(&loop->ring, fds, (unsigned)loop->set->count);
    free(fds);
    return err < 0 ? failed(loop, "io_uring_register", err) : 0;
}

static int open_buffers(struct loop *loop)
{
    loop->buffer_size = clamp((loop->set->msize + 63) & ~(size_t)63, BUFFER_MIN, BUFFER_MAX);
    loop->buffer_count =
        power_of_two_from(clamp(2 * (size_t)loop->set->count, BUFFERS_MIN, BUFFERS_MAX));
    while ((size_t)loop->buffer_count * loop->buffer_size > BUFFERS_BYTES)
        loop->buffer_count /= 2;
    loop->bytes = malloc((size_t)loop->buffer_count * loop->buffer_size);
    loop->buffers = calloc(loop->buffer_count, sizeof *loop->buffers);
    void *ring = mmap(NULL, buffer_ring_bytes(loop), PROT_READ | PROT_WRITE,
                      MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (loop->bytes == NULL || loop->buffers == NULL || ring == MAP_FAILED)
        return failed(loop, "mmap", -ENOMEM);
    loop->buffer_ring = ring;

    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)ring,
                                   .ring_entries = loop->buffer_count};
    int err = io_uring_register_buf_ring(&loop->ring, &reg, 0);
    if (err < 0)
        return failed(loop, "io_uring_register", err);
    io_uring_buf_ring_init(loop->buffer_ring);
    for (unsigned i = 0; i < loop->buffer_count; i++)
        buffer_give(loop, (int)i);
    return 0;
}

/* ---- queueing ------------------------------------------------------------------------------- */

/* There is always room: loop_run takes no more completions, and feed_starved no more connections,
 * than the queue has entries free. */
static struct io_uring_sqe *next_sqe(struct loop *loop)
{
    return io_uring_get_sqe(&loop->ring);
}

static uint64_t user_data(int index, enum tag tag)
{
    return (uint64_t)(unsigned)index << TAG_BITS | tag;
}

static void queue_receive(struct loop *loop, int index)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_recv_multishot(sqe, index, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->user_data = user_data(index, TAG_RECEIVE);
    loop->turns[index].receiving = true;
}

/* WAITALL: the kernel goes on by itself after a short send, until the peer has room again. */
static void queue_send(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_send(sqe, index, loop->bytes + (size_t)turn->first * loop->buffer_size,
                       loop->buffers[turn->first].length, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = user_data(index, TAG_SEND);
    turn->sending = true;
}

static void queue_cancel(struct loop *loop, int index)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_cancel64(sqe, user_data(index, TAG_RECEIVE), 0);
    sqe->user_data = user_data(index, TAG_CANCEL);
}

static int loop_open(void *state, struct echo_set *set)
{
    struct loop *loop = state;

    loop->set = set;
    loop->turns = calloc((size_t)set->count, sizeof *loop->turns);
    loop->starved = calloc((size_t)set->count, sizeof *loop->starved);
    if (loop->turns == NULL || loop->starved == NULL)
        return failed(loop, "calloc", -ENOMEM);
    int err = open_ring(loop);
    if (err == 0)
        err = open_buffers(loop);
    for (int i = 0; err == 0 && i < set->count; i++) {
        loop->turns[i].first = loop->turns[i].last = NO_BUFFER;
        loop->starved[loop->starved_count++] = i;
    }
    return err;
}

/* ---- completions ---------------------------------------------------------------------------- */

static void drop_first(struct loop *loop, struct turn *turn)
{
    int id = turn->first;

    turn->first = loop->buffers[id].next;
    if (turn->first == NO_BUFFER)
        turn->last = NO_BUFFER;
    turn->queued--;
    buffer_give(loop, id);
}

/* Nothing of the connection is with the kernel any more, or ever will be: close it now, so that its
 * peer sees the end while the others go on. The ring holds a reference of its own, and before Linux
 * 6.13 keeps it until every older request has completed: what the peer sees is the shutdown. */
static void turn_close(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];
    int none = -1;

    while (turn->first != NO_BUFFER)
        drop_first(loop, turn);
    shutdown(loop->set->conns[index].fd, SHUT_RDWR);
    io_uring_register_files_update(&loop->ring, (unsigned)index, &none, 1);
    echo_conn_close(loop->set, &loop->set->conns[index]);
}

static void close_if_done(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];

    if (turn->ended && !turn->sending && !turn->receiving && turn->first == NO_BUFFER &&
        loop->set->conns[index].fd >= 0)
        turn_close(loop, index);
}

/* The peer is gone: what is still queued goes nowhere. */
static void turn_break(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];
    int keep = turn->sending ? 1 : 0; /* that buffer is the kernel's until its send completes */

    turn->ended = true;
    while (turn->queued > keep) {
        int second = keep ? loop->buffers[turn->first].next : turn->first;

        if (keep) {
            loop->buffers[turn->first].next = loop->buffers[second].next;
            turn->queued--;
            buffer_give(loop, second);
        } else {
            drop_first(loop, turn);
        }
    }
    if (keep)
        turn->last = turn->first;
    if (turn->receiving) /* its completion closes the connection */
        queue_cancel(loop, index);
    close_if_done(loop, index);
}

static void append(struct loop *loop, int index, int id, unsigned length)
{
    struct turn *turn = &loop->turns[index];

    loop->buffers[id] = (struct buffer){.next = NO_BUFFER, .length = length};
    if (turn->last == NO_BUFFER)
        turn->first = id;
    else
        loop->buffers[turn->last].next = id;
    turn->last = id;
    turn->queued++;
}

/* A connection that failed: its peer is gone, or it is a fault of our own that ends the loop. */
static void turn_fail(struct loop *loop, int index, const char *call, int err)
{
    if (!echo_peer_gone(-err) && loop->err == 0)
        loop->err = failed(loop, call, err);
    turn_break(loop, index);
}

/* The multishot receive has ended: arm it anew, unless there is a reason not to. */
static void receive_ended(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];

    turn->receiving = false;
    if (turn->ended || turn->paused)
        return;
    if (result == -ENOBUFS)
        loop->starved[loop->starved_count++] = index;
    else
        queue_receive(loop, index);
}

static void received(struct loop *loop, int index, const struct io_uring_cqe *cqe)
{
    struct turn *turn = &loop->turns[index];
    bool more = cqe->flags & IORING_CQE_F_MORE;

    if (cqe->res > 0) {
        int id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

        if (turn->ended) {
            buffer_give(loop, id);
        } else {
            append(loop, index, id, (unsigned)cqe->res);
            loop->messages++;
            if (!turn->sending)
                queue_send(loop, index);
            if (turn->queued >= QUEUE_LONG && !turn->paused) {
                turn->paused = true;
                if (more)
                    queue_cancel(loop, index);
            }
        }
    } else if (cqe->res == 0) {
        turn->ended = true; /* no more comes, what is queued is still sent */
    } else if (cqe->res != -ENOBUFS && cqe->res != -ECANCELED) {
        turn->receiving = false;
        turn_fail(loop, index, "recv", cqe->res);
        return;
    }
    if (!more)
        receive_ended(loop, index, cqe->res);
    close_if_done(loop, index);
}

static void sent(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];
    bool whole = result >= 0 && (unsigned)result == loop->buffers[turn->first].length;

    turn->sending = false;
    drop_first(loop, turn);
    if (!whole) { /* short although the kernel was to go on: the peer is gone */
        turn_fail(loop, index, "send", result < 0 ? result : -EPIPE);
        return;
    }
    if (turn->first != NO_BUFFER) {
        queue_send(loop, index);
    } else if (turn->paused) {
        turn->paused = false;
        if (!turn->receiving && !turn->ended)
            queue_receive(loop, index);
    }
    close_if_done(loop, index);
}

static void completed(struct loop *loop, const struct io_uring_cqe *cqe)
{
    int index = (int)(cqe->user_data >> TAG_BITS);

    switch ((enum tag)(cqe->user_data & ((1 << TAG_BITS) - 1))) {
    case TAG_RECEIVE:
        received(loop, index, cqe);
        break;
    case TAG_SEND:
        sent(loop, index, cqe->res);
        break;
    default: /* a cancel: the receive it ended says so itself */
        break;
    }
}

/* Buffers may have come back: receive again where they had run out, as far as there is room. */
static void feed_starved(struct loop *loop)
{
    for (unsigned room = io_uring_sq_space_left(&loop->ring); room > 0 && loop->starved_count > 0;
         room--) {
        int index = loop->starved[--loop->starved_count];
        struct turn *turn = &loop->turns[index];

        if (!turn->receiving && !turn->ended && !turn->paused)
            queue_receive(loop, index);
    }
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* The kernel has no memory for requests, or no room for completions, and says to try again. */
static int loop_wait_out(struct loop *loop, int err)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    if (++loop->shortages > SHORTAGES_MAX)
        return failed(loop, "io_uring_enter", err);
    nanosleep(&pause, NULL);
    return ECHO_AGAIN;
}

static int loop_run(void *state)
{
    struct loop *loop = state;
    struct __kernel_timespec tick = {.tv_nsec = ECHO_TICK_MS * 1000000LL};

    for (int waits = 0; loop->set->alive > 0; waits++) {
        struct io_uring_cqe *cqes[BATCH];

        if (waits == ECHO_TICK_WAITS)
            return ECHO_AGAIN;
        if (loop->starved_count > 0)
            feed_starved(loop);
        int err = io_uring_submit_and_wait_timeout(&loop->ring, cqes, 1, &tick, NULL);
        bool is_short = err == -EAGAIN || err == -EBUSY;
        if (err < 0 && !is_short && err != -ETIME && err != -EINTR)
            return failed(loop, "io_uring_enter", err);
        unsigned room = io_uring_sq_space_left(&loop->ring) / REQUESTS_PER_COMPLETION;
        unsigned n = io_uring_peek_batch_cqe(&loop->ring, cqes, room < BATCH ? room : BATCH);
        if (n == 0 && is_short)
            return loop_wait_out(loop, err);
        if (n == 0 && err < 0)
            return ECHO_AGAIN;
        if (!is_short)
            loop->shortages = 0;
        for (unsigned i = 0; i < n; i++)
            completed(loop, cqes[i]);
        io_uring_cq_advance(&loop->ring, n);
        if (loop->err < 0)
            return loop->err;
    }
    return 0;
}

static int64_t loop_close(void *state)
{
    struct loop *loop = state;

    if (loop->ring_made)
        io_uring_queue_exit(&loop->ring);
    if (loop->buffer_ring != NULL)
        munmap(loop->buffer_ring, buffer_ring_bytes(loop));
    free(loop->bytes);
    free(loop->buffers);
    free(loop->turns);
    free(loop->starved);
    return loop->messages;
}

static const struct echo_row uring_row = {sizeof(struct loop), loop_open, loop_run, loop_close};

/* Blocking sockets: io_uring waits for them by itself. */
static PyObject *uring_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return serve(&uring_row, 0, args, nargs);
}

static PyMethodDef methods[] = {
    {"serve", (PyCFunction)(void (*)(void))uring_serve, METH_FASTCALL, SERVE_DOC},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {GLUE_MODULE_SLOTS{0, NULL}};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pybench.c_uring",
    .m_doc = "The row c_uring: a C echo over io_uring.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit_c_uring(void)
{
    return PyModuleDef_Init(&module_def);
}
