/* The row c_uring: one thread, io_uring. Multishot receives into a ring of provided buffers, sends
 * submitted in batches: no system call per message. How far any epoll row is from what the kernel
 * can do.
 *
 *   completion of a receive -> the buffer joins its connection's queue -> a send takes the first of
 *   the queue -> completion of the send -> the buffer goes back to the kernel
 *
 * One send per connection at a time: two in flight could overtake each other. It takes all of the
 * queue, and never waits: what the kernel does not take, because the peer does not read, is copied
 * to memory of the connection's own, the buffers go back, and it is not received from until that
 * is sent. So however many peers do not read, the buffers are there for the others.
 *
 * Where one table of descriptors is too small for all connections, shares.c runs this in several
 * threads: a ring has a table too, of the same limit.
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
    BUFFER_MAX = 128 * 1024, /* more would leave too few of them */
    BUFFERS_MIN = 1024,
    BUFFERS_MAX = 32768, /* the kernel's limit of a buffer ring */
    /* About a second-level cache: the kernel takes them in turn, all of them, and with 32 MiB every
     * byte was received into, and sent from, memory that was cold. Where they run out, a receive is
     * armed anew, which costs an entry of the queue. */
    BUFFERS_BYTES = 2 << 20,
    GATHER_MAX = 32, /* buffers that one send takes */
    NO_BUFFER = -1,
    REQUESTS_PER_COMPLETION = 2, /* at most: a send or a receive, and a cancel */
    SHORTAGES_MAX = 5000,        /* in a row, a millisecond apart */
};

/* What a completion is about, in the low bits of its user data; above them the connection. */
enum tag { TAG_RECEIVE, TAG_SEND, TAG_CANCEL, TAG_BITS = 2 };

/* Bytes that the kernel would not take at once, with the connection's next ones. */
struct piece {
    struct piece *next;
    size_t length;
    char bytes[];
};

/* The side of a connection that echo_conn has no room for. */
struct turn {
    int first, last; /* buffers to be sent, in order; NO_BUFFER when there are none */
    int flying;      /* so many of the first ones are with the kernel, while `sending` */
    struct piece *stalled, **stalled_end; /* owned: sent instead; with these nothing is received */
    bool sending;
    bool receiving; /* a multishot receive is armed */
    bool ended;     /* the peer sends no more: close when all is sent */
    bool broken;    /* the peer is gone: close when nothing is with the kernel */
};

/* What a send of several buffers refers to until it is submitted. */
struct gather {
    struct msghdr message;
    struct iovec parts[GATHER_MAX];
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
    unsigned free_buffers;  /* with the kernel, as far as we know */
    struct gather *gathers; /* owned: BATCH */
    int gather_count;
    int *starved; /* owned: connections that wait for a buffer and for their receive */
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

/* n: at most 2**31, the largest power there is. */
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
    loop->free_buffers++;
}

static int open_ring(struct loop *loop)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL,
        .cq_entries =
            power_of_two_from(clamp(4 * (size_t)loop->set->count, SQ_ENTRIES, CQ_ENTRIES_MAX)),
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

static void *buffer_bytes(const struct loop *loop, int id)
{
    return loop->bytes + (size_t)id * loop->buffer_size;
}

/* All buffers of the queue, as far as one send takes them. */
static struct msghdr *gather_queue(struct loop *loop, struct turn *turn)
{
    struct gather *gather = &loop->gathers[loop->gather_count++];
    int count = 0;

    for (int id = turn->first; id != NO_BUFFER && count < GATHER_MAX; id = loop->buffers[id].next)
        gather->parts[count++] = (struct iovec){buffer_bytes(loop, id), loop->buffers[id].length};
    turn->flying = count;
    gather->message = (struct msghdr){.msg_iov = gather->parts, .msg_iovlen = (size_t)count};
    return &gather->message;
}

/* DONTWAIT: completes at once. WAITALL: the kernel goes on by itself until the peer has room for
 * all; that may be never, and costs no buffer. */
static void queue_send(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];
    struct io_uring_sqe *sqe = next_sqe(loop);

    if (turn->stalled != NULL) {
        io_uring_prep_send(sqe, index, turn->stalled->bytes, turn->stalled->length,
                           MSG_NOSIGNAL | MSG_WAITALL);
    } else if (turn->first == turn->last || loop->gather_count == BATCH) {
        io_uring_prep_send(sqe, index, buffer_bytes(loop, turn->first),
                           loop->buffers[turn->first].length, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn->flying = 1;
    } else {
        io_uring_prep_sendmsg(sqe, index, gather_queue(loop, turn), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
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
    loop->gathers = calloc(BATCH, sizeof *loop->gathers);
    if (loop->turns == NULL || loop->starved == NULL || loop->gathers == NULL)
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
    buffer_give(loop, id);
}

static void drop_piece(struct turn *turn)
{
    struct piece *piece = turn->stalled;

    turn->stalled = piece->next;
    free(piece);
}

static void drop_all(struct loop *loop, struct turn *turn)
{
    while (turn->first != NO_BUFFER)
        drop_first(loop, turn);
    while (turn->stalled != NULL)
        drop_piece(turn);
}

/* Nothing of the connection is with the kernel any more, or ever will be: close it now, so that its
 * peer sees the end while the others go on. The ring holds a reference of its own, and before Linux
 * 6.13 keeps it until every older request has completed: what the peer sees is the shutdown. */
static void turn_close(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];
    int none = -1;

    drop_all(loop, turn);
    shutdown(loop->set->conns[index].fd, SHUT_RDWR);
    io_uring_register_files_update(&loop->ring, (unsigned)index, &none, 1);
    echo_conn_close(loop->set, &loop->set->conns[index]);
}

static void close_if_done(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];

    if (turn->ended && !turn->sending && !turn->receiving && turn->first == NO_BUFFER &&
        turn->stalled == NULL && loop->set->conns[index].fd >= 0)
        turn_close(loop, index);
}

/* The peer is gone: what is still queued goes nowhere, as soon as the kernel does not read it. */
static void turn_break(struct loop *loop, int index)
{
    struct turn *turn = &loop->turns[index];

    turn->ended = turn->broken = true;
    shutdown(loop->set->conns[index].fd, SHUT_RDWR); /* ends a send that waits, and the receive */
    if (!turn->sending)
        drop_all(loop, turn);
    if (turn->receiving) /* its completion closes the connection */
        queue_cancel(loop, index);
    close_if_done(loop, index);
}

static void append(struct loop *loop, struct turn *turn, int id, unsigned length)
{
    loop->buffers[id] = (struct buffer){.next = NO_BUFFER, .length = length};
    if (turn->last == NO_BUFFER)
        turn->first = id;
    else
        loop->buffers[turn->last].next = id;
    turn->last = id;
}

/* A connection that failed: its peer is gone, or it is a fault of our own that ends the loop. */
static void turn_fail(struct loop *loop, int index, const char *call, int err)
{
    if (!echo_peer_gone(-err) && loop->err == 0)
        loop->err = failed(loop, call, err);
    turn_break(loop, index);
}

/* Takes what is queued, but for its first `taken` bytes, out of the buffers. A malloc per stall,
 * and one for each receive that completes before the cancel does; none per message. */
static void turn_stall(struct loop *loop, int index, size_t taken)
{
    struct turn *turn = &loop->turns[index];
    size_t length = 0;

    for (int id = turn->first; id != NO_BUFFER; id = loop->buffers[id].next)
        length += loop->buffers[id].length;
    struct piece *piece = malloc(sizeof *piece + length);
    if (piece == NULL) {
        loop->err = failed(loop, "malloc", -ENOMEM);
        return;
    }
    *piece = (struct piece){.length = length - taken};
    for (char *end = piece->bytes; turn->first != NO_BUFFER; taken = 0) {
        size_t part = loop->buffers[turn->first].length - taken;

        memcpy(end, (char *)buffer_bytes(loop, turn->first) + taken, part);
        end += part;
        drop_first(loop, turn);
    }
    if (turn->stalled == NULL)
        turn->stalled_end = &turn->stalled;
    *turn->stalled_end = piece;
    turn->stalled_end = &piece->next;
}

/* The multishot receive has ended: arm it anew, unless there is a reason not to. */
static void receive_ended(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];

    turn->receiving = false;
    if (turn->ended || turn->stalled != NULL)
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

        loop->free_buffers--;
        if (turn->ended) {
            buffer_give(loop, id);
        } else {
            append(loop, turn, id, (unsigned)cqe->res);
            loop->messages++;
            if (turn->stalled != NULL)
                turn_stall(loop, index, 0);
            else if (!turn->sending)
                queue_send(loop, index);
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

/* A piece is out, or its connection is. */
static void sent_piece(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];

    if (result < 0 || (size_t)result < turn->stalled->length) { /* it was to wait for all */
        turn_fail(loop, index, "send", result < 0 ? result : -EPIPE);
        return;
    }
    drop_piece(turn);
    if (turn->stalled != NULL)
        queue_send(loop, index);
    else if (!turn->receiving && !turn->ended)
        queue_receive(loop, index);
}

static void sent_buffers(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];

    if (result < 0 && result != -EAGAIN && result != -EINTR) {
        turn_fail(loop, index, "send", result);
        return;
    }
    size_t left = result < 0 ? 0 : (size_t)result;
    while (turn->flying > 0 && left >= loop->buffers[turn->first].length) {
        left -= loop->buffers[turn->first].length;
        drop_first(loop, turn);
        turn->flying--;
    }
    if (turn->flying > 0) {
        turn_stall(loop, index, left);
        if (turn->receiving)
            queue_cancel(loop, index);
    }
    if (turn->first != NO_BUFFER || turn->stalled != NULL)
        queue_send(loop, index);
}

static void sent(struct loop *loop, int index, int result)
{
    struct turn *turn = &loop->turns[index];

    turn->sending = false;
    if (turn->broken)
        drop_all(loop, turn);
    else if (turn->stalled != NULL)
        sent_piece(loop, index, result);
    else
        sent_buffers(loop, index, result);
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

/* Buffers have come back: receive again where they had run out, as far as there is room. */
static void feed_starved(struct loop *loop)
{
    for (unsigned room = io_uring_sq_space_left(&loop->ring); room > 0 && loop->starved_count > 0;
         room--) {
        int index = loop->starved[--loop->starved_count];
        struct turn *turn = &loop->turns[index];

        if (!turn->receiving && !turn->ended && turn->stalled == NULL)
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
        if (loop->starved_count > 0 && loop->free_buffers > 0)
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
        if (io_uring_sq_ready(&loop->ring) == 0) /* the kernel has its own copies */
            loop->gather_count = 0;
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
    for (int i = 0; loop->turns != NULL && i < loop->set->count; i++) {
        while (loop->turns[i].stalled != NULL)
            drop_piece(&loop->turns[i]);
    }
    free(loop->bytes);
    free(loop->buffers);
    free(loop->turns);
    free(loop->gathers);
    free(loop->starved);
    return loop->messages;
}

static const struct echo_row uring_row = {sizeof(struct loop), loop_open, loop_run, loop_close};

/* Blocking sockets: io_uring waits for them by itself. */
static PyObject *uring_serve(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return serve(&uring_row, 0, true, args, nargs);
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
