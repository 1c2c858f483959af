/* engine_uring.c - the io_uring engine, one thread's loop over its connections.
 *
 * Per ping it makes no system call of its own: a multishot receive per connection delivers echoes
 * into a ring of provided buffers, the next pings are queued as they are recorded, and one
 * io_uring_enter a batch submits them and waits for more. The ring belongs to its ping thread
 * (SINGLE_ISSUER) and does its work only when that thread asks (DEFER_TASKRUN), so that nothing
 * interrupts it in between.
 *
 * Needs liburing at build time (HAVE_LIBURING) and Linux 6.1; without them the engine says so.
 */
#define _GNU_SOURCE
#include "engine.h"
#include "pipeline.h"

#ifdef HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
    SQ_ENTRIES = 4096,
    CQ_ENTRIES_MAX = 65536,
    BUFFER_MAX = 16 * 1024, /* a longer echo arrives in fragments */
    BUFFERS_MIN = 64,
    BUFFERS_MAX = 32768, /* the kernel's limit of a buffer ring */
    BUFFER_BYTES = 32 << 20,
    GATHER_FROM = 4096,   /* messages of this size or more share one body: see queue_send */
    SEND_MAX = 16 * 1024, /* bytes of several short pings of a connection that are sent at once */
    BATCH = 256,          /* echoes recorded before their next pings are submitted */
    SUBMIT_TRIES = 1000,  /* a second of SUBMIT_PAUSE_NS each */
    SUBMIT_PAUSE_NS = 1000000,
};

static const uint64_t DRAIN_POLL_NS = 10 * NS_PER_MS;

/* What a completion is about: a connection's receive or send by a tag in the pointer's low bits. */
enum tag { TAG_RECEIVE = 0, TAG_SEND = 1, TAG_WAKE = 2, TAG_MASK = 3 };

/* A long message: its own header, the thread's body. */
struct gather {
    struct msghdr header;
    struct iovec parts[2];
    unsigned char bytes[MESSAGE_HEADER];
};

struct loop {
    struct io_uring ring;
    bool ring_made;
    bool started;                          /* the ping thread has taken the ring over */
    struct io_uring_buf_ring *buffer_ring; /* mmap'ed */
    unsigned char *buffers;                /* buffer_count of buffer_size bytes */
    unsigned buffer_count, buffer_size;
    unsigned char *outgoing;   /* short messages: for each connection one, or as many as are sent
                                * at once, valid while they are sent */
    size_t outgoing_room;      /* bytes of it for a connection */
    struct gather *gathers;    /* long messages: likewise */
    struct io_uring_sqe spare; /* filled and thrown away once the ring has failed */
    int error;                 /* why the ring failed: a negative errno; 0: it has not */
};

/* ---- set-up ------------------------------------------------------------------------------- */

static unsigned power_of_two_from(unsigned n)
{
    unsigned power = 1;

    while (power < n && power <= UINT_MAX / 2)
        power *= 2;
    return power;
}

static unsigned clamp(unsigned n, unsigned low, unsigned high)
{
    return n < low ? low : n > high ? high : n;
}

static size_t buffer_ring_bytes(const struct loop *loop)
{
    return loop->buffer_count * sizeof(struct io_uring_buf);
}

static int ring_params_init(struct io_uring *ring, unsigned cq_entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED,
        .cq_entries = cq_entries,
    };

    return io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
}

static const char *engine_uring_unavailable(void)
{
    struct io_uring ring;
    int err = ring_params_init(&ring, 2 * SQ_ENTRIES);

    if (err == 0) {
        io_uring_queue_exit(&ring);
        return NULL;
    }
    if (err == -ENOMEM)
        return "no memory for a ring: raise the limit of locked memory (ulimit -l), or free some";
    if (err == -EMFILE || err == -ENFILE)
        return "no open files left for a ring: raise the limit (ulimit -n)";
    if (err == -EPERM)
        return "io_uring is forbidden here (see kernel.io_uring_disabled, or the container's "
               "seccomp profile)";
    return "this kernel has no io_uring with deferred task work; Linux 6.1 has";
}

/* Hand all receive buffers to the kernel. */
static int open_buffers(struct pinger *p, struct loop *loop)
{
    struct io_uring_buf_reg reg = {.ring_entries = 0};
    unsigned wanted, together = p->message.size;

    if (p->pipelines && together < BUFFER_MAX) /* as many echoes as may come at once */
        together *= p->pipelines->depth;
    loop->buffer_size = clamp((together + 63u) & ~63u, 64, BUFFER_MAX);
    wanted = clamp(2 * p->count, BUFFERS_MIN, BUFFERS_MAX);
    while (wanted > BUFFERS_MIN && (size_t)wanted * loop->buffer_size > BUFFER_BYTES)
        wanted /= 2;
    loop->buffer_count = power_of_two_from(wanted);
    if (loop->buffer_count > BUFFERS_MAX)
        loop->buffer_count = BUFFERS_MAX;
    loop->buffer_ring = mmap(NULL, buffer_ring_bytes(loop), PROT_READ | PROT_WRITE,
                             MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (loop->buffer_ring == MAP_FAILED) {
        loop->buffer_ring = NULL;
        return -errno;
    }
    loop->buffers = malloc((size_t)loop->buffer_count * loop->buffer_size);
    if (!loop->buffers)
        return -ENOMEM;
    reg.ring_addr = (uintptr_t)loop->buffer_ring;
    reg.ring_entries = loop->buffer_count;
    return io_uring_register_buf_ring(&loop->ring, &reg, 0);
}

static void give_buffer(struct loop *loop, unsigned id, int offset)
{
    io_uring_buf_ring_add(loop->buffer_ring, loop->buffers + (size_t)id * loop->buffer_size,
                          loop->buffer_size, (unsigned short)id,
                          io_uring_buf_ring_mask(loop->buffer_count), offset);
}

static void give_all_buffers(struct loop *loop)
{
    io_uring_buf_ring_init(loop->buffer_ring);
    for (unsigned i = 0; i < loop->buffer_count; i++)
        give_buffer(loop, i, (int)i);
    io_uring_buf_ring_advance(loop->buffer_ring, (int)loop->buffer_count);
}

/* What is being sent must stay in place until the kernel has taken it: a message per connection. */
static int open_messages(struct pinger *p, struct loop *loop)
{
    size_t size = p->message.size > MESSAGE_HEADER ? p->message.size : MESSAGE_HEADER;

    if (p->message.size >= GATHER_FROM) {
        loop->gathers = calloc(p->count, sizeof *loop->gathers);
        if (!loop->gathers)
            return -ENOMEM;
        for (uint32_t i = 0; i < p->count; i++) {
            struct gather *gather = &loop->gathers[i];

            gather->parts[0] = (struct iovec){gather->bytes, MESSAGE_HEADER};
            gather->parts[1] =
                (struct iovec){p->message.bytes + MESSAGE_HEADER, p->message.size - MESSAGE_HEADER};
            gather->header = (struct msghdr){.msg_iov = gather->parts, .msg_iovlen = 2};
        }
        return 0;
    }
    loop->outgoing_room = size;
    if (p->pipelines)
        loop->outgoing_room *= clamp(SEND_MAX / (unsigned)size, 1, p->pipelines->depth);
    loop->outgoing = malloc(p->count * loop->outgoing_room);
    if (!loop->outgoing)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->count; i++)
        memcpy(loop->outgoing + i * loop->outgoing_room, p->message.bytes, size);
    return 0;
}

/* The fixed file of a connection is its index in the thread's slice. */
static int open_files(struct pinger *p, struct loop *loop)
{
    int *fds = malloc(p->count * sizeof *fds);
    int err;

    if (!fds)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->count; i++)
        fds[i] = p->conns[i].fd;
    err = io_uring_register_files(&loop->ring, fds, p->count);
    free(fds);
    return err;
}

static int engine_uring_open(struct pinger *p)
{
    struct loop *loop = calloc(1, sizeof *loop);
    int err;

    p->loop = loop;
    if (!loop)
        return -ENOMEM;
    err = ring_params_init(&loop->ring,
                           clamp(power_of_two_from(4 * p->count), SQ_ENTRIES, CQ_ENTRIES_MAX));
    if (err < 0)
        return err;
    loop->ring_made = true;
    if ((err = open_files(p, loop)) < 0 || (err = open_buffers(p, loop)) < 0)
        return err;
    return open_messages(p, loop);
}

static void engine_uring_close(struct pinger *p)
{
    struct loop *loop = p->loop;

    if (!loop)
        return;
    if (loop->ring_made)
        io_uring_queue_exit(&loop->ring);
    if (loop->buffer_ring)
        munmap(loop->buffer_ring, buffer_ring_bytes(loop));
    free(loop->buffers);
    free(loop->outgoing);
    free(loop->gathers);
    free(loop);
}

/* ---- queueing ----------------------------------------------------------------------------- */

/* Whether a call of the ring failed for good. What passes by itself is no failure: a signal, the
 * end of a wait, requests or completions that the kernel has no room for at the moment. */
static inline bool ring_failed(struct loop *loop, int err)
{
    if (likely(err >= 0) || err == -EINTR || err == -ETIME || err == -EAGAIN || err == -EBUSY)
        return false;
    if (!loop->error)
        loop->error = err;
    return true;
}

/* The submission queue is full: hand it over. Gives up, with loop->error set, when the kernel will
 * not have it for a while or the test is abandoned. */
static struct io_uring_sqe *make_room(struct pinger *p)
{
    struct loop *loop = p->loop;

    for (int tries = 0; tries < SUBMIT_TRIES; tries++) {
        int err = loop->error ? loop->error : io_uring_submit(&loop->ring);
        struct io_uring_sqe *sqe = ring_failed(loop, err) ? NULL : io_uring_get_sqe(&loop->ring);

        if (sqe)
            return sqe;
        if (loop->error || atomic_load_explicit(&p->plan->abandoned, memory_order_relaxed))
            return &loop->spare;
        if (err < 0)
            nanosleep(&(struct timespec){.tv_nsec = SUBMIT_PAUSE_NS}, NULL);
    }
    loop->error = -EAGAIN;
    return &loop->spare;
}

static inline struct io_uring_sqe *next_sqe(struct pinger *p)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->loop->ring);

    return likely(sqe) ? sqe : make_room(p);
}

static inline void *tagged(struct conn *c, enum tag tag)
{
    return (void *)((uintptr_t)c | tag);
}

static inline void queue_receive(struct pinger *p, struct conn *c)
{
    struct io_uring_sqe *sqe = next_sqe(p);

    io_uring_prep_recv_multishot(sqe, (int)(c - p->conns), NULL, 0, 0);
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* there is nothing yet: spare the attempt */
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data(sqe, tagged(c, TAG_RECEIVE));
}

/* Queue the stamped message. Its header differs from connection to connection and its body does
 * not, so a long message is gathered from both; a short one is cheaper in one piece. WAITALL: the
 * kernel goes on by itself after a short send. Only failures are reported back. */
static inline void queue_send(struct pinger *p, struct conn *c)
{
    struct loop *loop = p->loop;
    struct io_uring_sqe *sqe = next_sqe(p);
    uint32_t index = (uint32_t)(c - p->conns);
    uint32_t size = p->message.size;

    if (unlikely(loop->gathers)) {
        struct gather *gather = &loop->gathers[index];

        memcpy(gather->bytes, p->message.bytes, MESSAGE_HEADER);
        io_uring_prep_sendmsg(sqe, (int)index, &gather->header, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
        size_t room = size > MESSAGE_HEADER ? size : MESSAGE_HEADER;
        unsigned char *bytes = loop->outgoing + index * room;

        memcpy(bytes, p->message.bytes, MESSAGE_HEADER);
        io_uring_prep_send(sqe, (int)index, bytes, size, MSG_NOSIGNAL | MSG_WAITALL);
    }
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, tagged(c, TAG_SEND));
    c->sent = size;
}

static void queue_wake(struct pinger *p)
{
    struct io_uring_sqe *sqe = next_sqe(p);

    io_uring_prep_poll_multishot(sqe, p->wake_fd, POLLIN);
    io_uring_sqe_set_data(sqe, tagged(NULL, TAG_WAKE));
}

static inline void ping(struct pinger *p, struct conn *c, uint64_t now)
{
    conn_begin(p, c, now);
    queue_send(p, c);
}

/* ---- several pings in flight --------------------------------------------------------------- */

/* Hand over what comes next of the pings that have begun. Two sends on one socket may overtake each
 * other where the first finds no room: so there is one at a time, whose end is told; `pending` is
 * the bytes of it. */
static void pipeline_push(struct pinger *p, struct conn *c)
{
    struct loop *loop = p->loop;
    struct pipeline *pipeline = conn_pipeline(p, c);
    uint32_t index = (uint32_t)(c - p->conns);
    struct io_uring_sqe *sqe;

    if (pipeline->pending || pipeline->unsent == 0)
        return;
    sqe = next_sqe(p);
    if (loop->gathers) {
        struct gather *gather = &loop->gathers[index];

        pipeline_stamp(p, c);
        memcpy(gather->bytes, p->message.bytes, MESSAGE_HEADER);
        pipeline->pending = p->message.size;
        io_uring_prep_sendmsg(sqe, (int)index, &gather->header, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
        unsigned char *bytes = loop->outgoing + index * loop->outgoing_room;

        pipeline->pending = pipeline_compose(p, c, bytes, (uint32_t)loop->outgoing_room);
        io_uring_prep_send(sqe, (int)index, bytes, pipeline->pending, MSG_NOSIGNAL | MSG_WAITALL);
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, tagged(c, TAG_SEND));
    pipeline_sent(p, c, pipeline->pending);
}

static void pipeline_ping(struct pinger *p, struct conn *c, uint64_t now)
{
    pipeline_fill(p, c, now);
    pipeline_push(p, c);
}

/* Bytes are there: record the echoes that they make whole and send as many pings. */
static void pipeline_pulled(struct pinger *p, struct conn *c, const unsigned char *bytes,
                            uint32_t length, uint64_t now)
{
    int whole = pipeline_received(p, c, bytes, length, now);

    if (whole < 0)
        conn_lose(p, c, LOST_CORRUPT);
    else if (whole > 0 && c->state != CONN_CLOSED && pinger_sending(p, now))
        pipeline_ping(p, c, now);
}

/* ---- completions -------------------------------------------------------------------------- */

static inline void conn_echoed(struct pinger *p, struct conn *c, uint64_t now)
{
    conn_record(p, c, now);
    if (unlikely(!pinger_sending(p, now)))
        conn_finish(p, c);
    else if (!p->plan->paced || conn_schedule(p, c, now))
        ping(p, c, now);
}

static inline void return_buffer(struct loop *loop, unsigned id)
{
    give_buffer(loop, id, 0);
    io_uring_buf_ring_advance(loop->buffer_ring, 1);
}

/* Bytes of an echo lie in a provided buffer: check them, and give the buffer back. */
static inline void conn_received(struct pinger *p, struct conn *c, const struct io_uring_cqe *cqe,
                                 uint64_t now)
{
    struct loop *loop = p->loop;
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (likely(c->state != CONN_CLOSED)) {
        const unsigned char *bytes = loop->buffers + (size_t)id * loop->buffer_size;
        enum echo echo = conn_check(p, c, bytes, (uint32_t)cqe->res);

        if (likely(echo == ECHO_WHOLE))
            conn_echoed(p, c, now);
        else if (echo == ECHO_PIPELINED)
            pipeline_pulled(p, c, bytes, (uint32_t)cqe->res, now);
        else if (echo == ECHO_CORRUPT)
            conn_lose(p, c, LOST_CORRUPT);
    }
    return_buffer(loop, id);
}

static inline void receive_completed(struct pinger *p, struct conn *c,
                                     const struct io_uring_cqe *cqe, uint64_t now)
{
    bool again = !(cqe->flags & IORING_CQE_F_MORE);

    if (likely(cqe->res > 0)) {
        conn_received(p, c, cqe, now);
        goto rearm;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) /* taken for bytes that did not come */
        return_buffer(p->loop, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (c->state != CONN_CLOSED) {
        if (cqe->res == 0)
            conn_lose(p, c, LOST_CLOSED);
        else if (cqe->res != -ENOBUFS) /* all buffers were full for a moment */
            conn_lose(p, c, lost_cause_of(-cqe->res));
    }
rearm:
    if (unlikely(again) && c->state != CONN_CLOSED)
        queue_receive(p, c);
}

static void wake_completed(struct pinger *p, const struct io_uring_cqe *cqe)
{
    uint64_t count;

    (void)!read(p->wake_fd, &count, sizeof count);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        queue_wake(p);
}

/* One ping in flight: only failures come here, and the receive may have told already. */
static void send_completed(struct pinger *p, struct conn *c, const struct io_uring_cqe *cqe)
{
    struct pipeline *pipeline = p->pipelines ? conn_pipeline(p, c) : NULL;

    if (c->state == CONN_CLOSED)
        return;
    if (pipeline && cqe->res > 0 && (uint32_t)cqe->res == pipeline->pending) {
        pipeline->pending = 0;
        pipeline_push(p, c);
        return;
    }
    conn_lose(p, c, cqe->res < 0 ? lost_cause_of(-cqe->res) : LOST_RESET);
}

static inline void completed(struct pinger *p, const struct io_uring_cqe *cqe, uint64_t now)
{
    uintptr_t data = (uintptr_t)io_uring_cqe_get_data(cqe);
    struct conn *c = (struct conn *)(data & ~(uintptr_t)TAG_MASK);

    switch ((enum tag)(data & TAG_MASK)) {
    case TAG_RECEIVE:
        receive_completed(p, c, cqe, now);
        break;
    case TAG_SEND:
        send_completed(p, c, cqe);
        break;
    default:
        wake_completed(p, cqe);
    }
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void fire_due(struct pinger *p, uint64_t now)
{
    struct conn *c;

    for (int i = 0; i < DUE_IN_A_ROW && (c = conn_pop_due(p, now)); i++)
        ping(p, c, clock_now_ns());
}

/* From here on the ring is this thread's. liburing 2.3 declares a call for it and exports none. */
static int ring_enable(struct io_uring *ring)
{
    long done =
        syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    return done < 0 ? -errno : 0;
}

/* The first turn only: the thread takes its ring over, and asks to hear of everything. */
static int ring_start(struct pinger *p)
{
    struct loop *loop = p->loop;
    int err = ring_enable(&loop->ring);

    if (err < 0)
        return err;
    give_all_buffers(loop);
    queue_wake(p);
    for (uint32_t i = 0; i < p->count; i++)
        queue_receive(p, &p->conns[i]);
    loop->started = true;
    return 0;
}

static void start_all(struct pinger *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t now = clock_now_ns();

        if (p->pipelines && p->conns[i].state != CONN_CLOSED) {
            pipeline_ping(p, &p->conns[i], now);
            continue;
        }
        if (p->conns[i].state != CONN_IDLE)
            continue; /* lost, or still without the echo of an earlier turn */
        if (p->plan->paced)
            conn_schedule_first(p, &p->conns[i], now);
        else
            ping(p, &p->conns[i], now);
    }
}

/* Whether there is something to reap: completions, or work that the kernel has put off until it is
 * entered. Both are seen in shared memory. */
static inline bool has_work(struct io_uring *ring)
{
    return io_uring_cq_ready(ring) > 0 ||
           (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* Look for work without sleeping, for as long as a busy poll lasts, and without a system call.
 * Returns whether there are completions now. */
static bool poll_busily(struct pinger *p)
{
    struct io_uring *ring = &p->loop->ring;
    uint64_t now = clock_now_ns();
    uint64_t until = pinger_polls_until(p, now);
    struct idle idle = {.from_ns = now};

    while (now < until && !has_work(ring)) {
        spin_pause();
        now = clock_now_ns();
        idle_goes_on(&idle, now);
    }
    pinger_idled(p, &idle, now);
    if (has_work(ring))
        io_uring_get_events(ring);
    return io_uring_cq_ready(ring) > 0;
}

/* Submit what is queued and wait for a completion, no longer than the next due ping. Returns what
 * the last call did. */
static int submit_and_wait(struct pinger *p, uint64_t now)
{
    struct io_uring_cqe *cqe;
    uint64_t until_ns = p->phase == PHASE_DRAIN ? now + DRAIN_POLL_NS : UINT64_MAX;
    struct __kernel_timespec left;

    if (pinger_polls(p)) {
        int err = io_uring_submit_and_get_events(&p->loop->ring);

        if (unlikely(err < 0) || io_uring_cq_ready(&p->loop->ring) > 0 || poll_busily(p))
            return err;
        now = clock_now_ns();
    }
    if (p->phase != PHASE_DRAIN && p->waiting.count > 0)
        until_ns = p->waiting.heap[0].at_ns;
    if (until_ns == UINT64_MAX) {
        return io_uring_submit_and_wait(&p->loop->ring, 1);
    }
    until_ns = until_ns > now ? until_ns - now : 0;
    left = (struct __kernel_timespec){
        .tv_sec = (long long)(until_ns / NS_PER_S),
        .tv_nsec = (long long)(until_ns % NS_PER_S),
    };
    return io_uring_submit_and_wait_timeout(&p->loop->ring, &cqe, 1, &left, NULL);
}

/* Handle up to BATCH completions. One clock reading serves them all: it ends their pings and
 * begins the next ones, so no time is lost between the two. Returns their number. */
static unsigned reap(struct pinger *p)
{
    struct io_uring_cqe *cqes[BATCH];
    unsigned n = io_uring_peek_batch_cqe(&p->loop->ring, cqes, BATCH);
    uint64_t now = clock_now_ns();

    for (unsigned i = 0; i < n; i++)
        completed(p, cqes[i], now);
    io_uring_cq_advance(&p->loop->ring, n);
    return n;
}

/* The kernel counts completions that it had to drop, for want of memory: echoes that never show. */
static bool has_dropped(const struct io_uring *ring)
{
    return IO_URING_READ_ONCE(*ring->cq.koverflow) > 0;
}

static int engine_uring_run(struct pinger *p, const char **call)
{
    struct loop *loop = p->loop;
    uint64_t now;
    int err;

    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* the default lets a due ping be 50 us late */
    *call = "io_uring_register";
    if (!loop->started && (err = ring_start(p)) < 0)
        return err;
    *call = "io_uring_enter";
    start_all(p);
    now = clock_now_ns();
    while (pinger_advance(p, now), !pinger_done(p, now)) {
        unsigned n;

        if (unlikely(ring_failed(loop, submit_and_wait(p, now))) || unlikely(loop->error))
            return loop->error;
        n = reap(p);
        now = clock_now_ns();
        pinger_waited(p, n);
        if (p->phase != PHASE_DRAIN)
            fire_due(p, now);
    }
    pinger_end(p, now);
    return has_dropped(&loop->ring) ? -EBADR : 0;
}

const struct engine engine_uring = {
    .name = "uring",
    .unavailable = engine_uring_unavailable,
    .open = engine_uring_open,
    .run = engine_uring_run,
    .close = engine_uring_close,
};

#else /* !HAVE_LIBURING */

static const char *engine_uring_unavailable(void)
{
    return "this server was built without liburing; install it (Debian: liburing-dev) and build "
           "pybench again";
}

const struct engine engine_uring = {.name = "uring", .unavailable = engine_uring_unavailable};

#endif
