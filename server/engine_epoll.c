/* engine_epoll.c - the epoll engine, one thread's loop over its connections.
 *
 * Per ping it makes two system calls, recv and send, and a share of an epoll_wait. Registration is
 * edge-triggered, so that the kernel does not poll every ready socket once more on the next wait.
 * A receive that did not fill the buffer has emptied the socket: later bytes raise a new edge.
 * Over TLS the same is asked of transport.h; for plain connections that is one branch more a call.
 */
#define _GNU_SOURCE
#include "engine.h"
#include "pipeline.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    EVENTS_MIN = 64,
    EVENTS_MAX = 16384,
    EVENTS_WHILE_PACING = 64, /* a due ping waits for no more than that many echoes */
    RECEIVE_SIZE = 64 * 1024,
    SEND_SIZE = 64 * 1024, /* of several pings on a connection that are sent in one call */
};

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static const uint32_t WATCH = EPOLLIN | EPOLLRDHUP | EPOLLET;

struct loop {
    int epoll_fd;
    struct epoll_event *events; /* owned; room for every connection, so that the number of ready
                                   ones tells how long the queue is, up to EVENTS_MAX */
    int events_max;
    bool kernel_times;          /* as the request has it: at hand where bytes are received */
    uint64_t realtime_ahead_ns; /* kernel times: CLOCK_REALTIME less CLOCK_MONOTONIC */
    uint64_t arrived_ns;        /* kernel times: when the bytes read last had come, 0: unknown */
    unsigned char receive_buf[RECEIVE_SIZE];
    unsigned char *send_buf; /* owned, SEND_SIZE bytes; NULL: one ping in flight per connection */
};

/* epoll_wait until a time in nanoseconds. Of the kernel itself, from 5.11 on, and no function of
 * the C library: glibc has one from 2.35 on, musl none. */
static int wait_precisely(int epoll_fd, struct epoll_event *events, int most,
                          const struct timespec *left)
{
    const struct __kernel_timespec limit = {.tv_sec = left->tv_sec, .tv_nsec = left->tv_nsec};

    return (int)syscall(SYS_epoll_pwait2, epoll_fd, events, most, &limit, NULL, 0);
}

/* Have the kernel note when bytes arrive. */
static int stamp_arrivals(int fd)
{
    int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;

    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) < 0 ? -errno : 0;
}

static int engine_epoll_open(struct pinger *p)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    const struct timespec at_once = {0};
    int err;

    p->loop = calloc(1, sizeof *p->loop);
    if (!p->loop)
        return -ENOMEM;
    p->loop->kernel_times = p->plan->request->kernel_times;
    p->loop->events_max = p->count < EVENTS_MIN   ? EVENTS_MIN
                          : p->count > EVENTS_MAX ? EVENTS_MAX
                                                  : (int)p->count;
    p->loop->events = calloc((size_t)p->loop->events_max, sizeof *p->loop->events);
    p->loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (p->loop->epoll_fd < 0)
        return -errno;
    if (p->pipelines)
        p->loop->send_buf = malloc(SEND_SIZE);
    if (!p->loop->events || (p->pipelines && !p->loop->send_buf))
        return -ENOMEM;
    /* pacing needs waits shorter than a millisecond, which kernels before 5.11 have not */
    if (p->plan->paced && wait_precisely(p->loop->epoll_fd, &event, 1, &at_once) < 0)
        return -errno;
    if (epoll_ctl(p->loop->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &event) < 0)
        return -errno;
    for (uint32_t i = 0; i < p->count; i++) {
        event = (struct epoll_event){.events = WATCH, .data.ptr = &p->conns[i]};
        if (epoll_ctl(p->loop->epoll_fd, EPOLL_CTL_ADD, p->conns[i].fd, &event) < 0)
            return -errno;
        if (p->loop->kernel_times && (err = stamp_arrivals(p->conns[i].fd)) < 0)
            return err;
    }
    return 0;
}

static void engine_epoll_close(struct pinger *p)
{
    if (!p->loop)
        return;
    if (p->loop->epoll_fd >= 0)
        close(p->loop->epoll_fd);
    free(p->loop->events);
    free(p->loop->send_buf);
    free(p->loop);
}

/* Ask, or no longer ask, to be told when the connection takes more bytes. */
static void watch_writable(struct pinger *p, struct conn *c, bool on)
{
    struct epoll_event event = {.events = WATCH | (on ? EPOLLOUT : 0), .data.ptr = c};

    if (epoll_ctl(p->loop->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
        conn_lose(p, c, LOST_ERROR);
}

static inline ssize_t transmit(const struct pinger *p, const struct conn *c,
                               const unsigned char *bytes, uint32_t size)
{
    if (unlikely(p->sessions))
        return tls_send(conn_tls(p, c), bytes, size);
    return send(c->fd, bytes, size, MSG_NOSIGNAL);
}

/* Hand the rest of the stamped message to the kernel. */
static inline void conn_push(struct pinger *p, struct conn *c)
{
    uint32_t left = p->message.size - c->sent;
    ssize_t n = transmit(p, c, p->message.bytes + c->sent, left);

    if (likely(n == (ssize_t)left)) {
        c->sent += left;
        return;
    }
    if (n >= 0)
        c->sent += (uint32_t)n;
    if (n >= 0 || errno == EAGAIN || errno == EINTR)
        watch_writable(p, c, true);
    else
        conn_lose(p, c, lost_cause_of(errno));
}

static inline void ping(struct pinger *p, struct conn *c, uint64_t now)
{
    conn_begin(p, c, now);
    conn_push(p, c);
}

/* How long the echo lay here before it was read. It counts where its latency does: a thread that is
 * held up at the window's end reads what came too late for that, and lay longest. */
static void record_queue(struct pinger *p, uint64_t now)
{
    uint64_t arrived = p->loop->arrived_ns;

    if (p->phase != PHASE_WINDOW || !pinger_sending(p, now) || arrived == 0)
        return;
    p->counters.queue_samples++;
    p->counters.queue_ns += now > arrived ? now - arrived : 0;
}

/* ---- several pings in flight --------------------------------------------------------------- */

/* Hand the kernel what comes next: short messages together, a long or a last one as it is. Returns
 * whether it took all of it. */
static bool pipeline_push_some(struct pinger *p, struct conn *c)
{
    const unsigned char *bytes = p->loop->send_buf;
    uint32_t size = p->message.size, length;
    ssize_t n;

    if (size > SEND_SIZE / 2 || conn_pipeline(p, c)->unsent == 1) {
        pipeline_stamp(p, c);
        bytes = p->message.bytes + c->sent;
        length = size - c->sent;
    } else {
        length = pipeline_compose(p, c, p->loop->send_buf, SEND_SIZE);
    }
    n = transmit(p, c, bytes, length);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_lose(p, c, lost_cause_of(errno));
        return false;
    }
    if (n > 0)
        pipeline_sent(p, c, (uint32_t)n);
    return n == (ssize_t)length;
}

/* Send what has begun, as far as the socket has room: `pending` until it has more. */
static void pipeline_push(struct pinger *p, struct conn *c)
{
    struct pipeline *pipeline = conn_pipeline(p, c);

    while (pipeline->unsent > 0 && !pipeline->pending)
        if (!pipeline_push_some(p, c)) {
            if (c->state == CONN_CLOSED)
                return;
            pipeline->pending = true;
            watch_writable(p, c, true);
        }
}

static void pipeline_ping(struct pinger *p, struct conn *c, uint64_t now)
{
    pipeline_fill(p, c, now);
    pipeline_push(p, c);
}

/* Bytes are there: record the echoes that they make whole and send as many pings. */
static void pipeline_pulled(struct pinger *p, struct conn *c, uint32_t length)
{
    uint64_t now = clock_now_ns();
    int whole = pipeline_received(p, c, p->loop->receive_buf, length, now);

    if (whole < 0) {
        conn_lose(p, c, LOST_CORRUPT);
        return;
    }
    if (whole == 0)
        return;
    if (p->loop->kernel_times)
        record_queue(p, now);
    if (c->state != CONN_CLOSED && pinger_sending(p, now))
        pipeline_ping(p, c, now);
}

static void pipeline_resume(struct pinger *p, struct conn *c)
{
    struct pipeline *pipeline = conn_pipeline(p, c);

    if (!pipeline->pending)
        return;
    pipeline->pending = false;
    pipeline_push(p, c);
    if (c->state != CONN_CLOSED && !pipeline->pending)
        watch_writable(p, c, false);
}

/* ---- echoes -------------------------------------------------------------------------------- */

/* The socket takes bytes again: go on with a message that was sent in part. */
static void conn_resume(struct pinger *p, struct conn *c)
{
    if (p->pipelines) {
        pipeline_resume(p, c);
        return;
    }
    if (c->state != CONN_FLYING || c->sent == p->message.size)
        return;
    message_stamp(&p->message, c->seq, c->id);
    conn_push(p, c);
    if (c->state == CONN_FLYING && c->sent == p->message.size)
        watch_writable(p, c, false);
}

/* A whole echo is there: record it and send the next ping, now or when it is due. */
static inline void conn_echoed(struct pinger *p, struct conn *c)
{
    uint64_t now = clock_now_ns();

    conn_record(p, c, now);
    if (unlikely(p->loop->kernel_times))
        record_queue(p, now);
    if (unlikely(!pinger_sending(p, now)))
        conn_finish(p, c);
    else if (!p->plan->paced || conn_schedule(p, c, now))
        ping(p, c, now);
}

/* Receive with the kernel's time of arrival, which goes to loop->arrived_ns. */
static ssize_t receive_stamped(struct pinger *p, const struct conn *c)
{
    struct loop *loop = p->loop;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct scm_timestamping)) + 64];
    } control;
    struct iovec part = {loop->receive_buf, RECEIVE_SIZE};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    ssize_t n = recvmsg(c->fd, &header, 0);

    loop->arrived_ns = 0;
    if (n <= 0)
        return n;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header); cmsg; cmsg = CMSG_NXTHDR(&header, cmsg))
        if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping times;

            memcpy(&times, CMSG_DATA(cmsg), sizeof times);
            loop->arrived_ns = (uint64_t)times.ts[0].tv_sec * NS_PER_S +
                               (uint64_t)times.ts[0].tv_nsec - loop->realtime_ahead_ns;
        }
    return n;
}

/* As recv; at *more whether there may be bytes left that raise no new edge. */
static inline ssize_t receive(struct pinger *p, const struct conn *c, bool *more)
{
    ssize_t n;

    if (unlikely(p->sessions))
        return tls_receive(conn_tls(p, c), p->loop->receive_buf, RECEIVE_SIZE, more);
    n = unlikely(p->loop->kernel_times) ? receive_stamped(p, c)
                                        : recv(c->fd, p->loop->receive_buf, RECEIVE_SIZE, 0);
    *more = n == RECEIVE_SIZE;
    return n;
}

/* What a receive leaves behind: nothing until a new edge; perhaps more; nothing even behind a
 * hang-up that was reported. */
enum pulled { PULLED_LAST, PULLED_MORE, PULLED_NOTHING };

static inline enum pulled conn_pull(struct pinger *p, struct conn *c)
{
    bool more;
    ssize_t n = receive(p, c, &more);

    if (likely(n > 0)) {
        enum echo echo = conn_check(p, c, p->loop->receive_buf, (uint32_t)n);

        if (likely(echo == ECHO_WHOLE))
            conn_echoed(p, c);
        else if (echo == ECHO_PIPELINED)
            pipeline_pulled(p, c, (uint32_t)n);
        else if (echo == ECHO_CORRUPT)
            conn_lose(p, c, LOST_CORRUPT);
        return more ? PULLED_MORE : PULLED_LAST;
    }
    if (n < 0 && errno == EINTR)
        return PULLED_MORE;
    if (n == 0)
        conn_lose(p, c, LOST_CLOSED);
    else if (errno == EINPROGRESS) /* TLS has something of its own to say first */
        watch_writable(p, c, true);
    else if (errno != EAGAIN)
        conn_lose(p, c, lost_cause_of(errno));
    return PULLED_NOTHING;
}

static inline void conn_ready(struct pinger *p, struct conn *c, uint32_t events)
{
    enum pulled pulled = PULLED_MORE;

    if (unlikely(events & EPOLLOUT))
        conn_resume(p, c);
    if (!(events & ~(uint32_t)EPOLLOUT) && likely(!p->sessions))
        return;
    /* Hang-up behind data: it was reported by this edge, so read on until it shows. An error that
     * reading does not show is none of the stream's. */
    while (c->state != CONN_CLOSED && pulled != PULLED_NOTHING &&
           (pulled == PULLED_MORE || unlikely(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))))
        pulled = conn_pull(p, c);
}

/* Send pings that are due, some at a time. A connection is stamped when its own send begins, not
 * when the batch does: what it waited here for others is no latency of the client's. */
static void fire_due(struct pinger *p, uint64_t now)
{
    struct conn *c;

    for (int i = 0; i < DUE_IN_A_ROW && (c = conn_pop_due(p, now)); i++)
        ping(p, c, clock_now_ns());
}

/* Look for events without sleeping, for as long as a busy poll lasts. */
static int poll_busily(struct pinger *p, int most)
{
    struct loop *loop = p->loop;
    int n = epoll_wait(loop->epoll_fd, loop->events, most, 0);
    struct idle idle = {0};
    uint64_t until, now;

    if (n != 0)
        return n;
    now = idle.from_ns = clock_now_ns();
    until = pinger_polls_until(p, now);
    while (now < until && (n = epoll_wait(loop->epoll_fd, loop->events, most, 0)) == 0) {
        now = clock_now_ns();
        idle_goes_on(&idle, now);
    }
    pinger_idled(p, &idle, now);
    return n;
}

static int wait_for_events(struct pinger *p, uint64_t now)
{
    struct loop *loop = p->loop;
    int most = p->waiting.count > 0 ? EVENTS_WHILE_PACING : loop->events_max;
    struct timespec left;

    if (pinger_polls(p)) {
        int n = poll_busily(p, most);

        if (n != 0)
            return n;
        now = clock_now_ns();
    }
    if (p->phase == PHASE_DRAIN)
        return epoll_wait(loop->epoll_fd, loop->events, loop->events_max, 10);
    if (p->waiting.count == 0)
        return epoll_wait(loop->epoll_fd, loop->events, loop->events_max, -1);
    left = clock_until(p->waiting.heap[0].at_ns, now);
    return wait_precisely(loop->epoll_fd, loop->events, most, &left);
}

/* The kernel stamps in real time. Looked at anew each round: that clock is steered. */
static void compare_clocks(struct loop *loop)
{
    struct timespec real;
    uint64_t mono = clock_now_ns();

    clock_gettime(CLOCK_REALTIME, &real);
    loop->realtime_ahead_ns = (uint64_t)real.tv_sec * NS_PER_S + (uint64_t)real.tv_nsec - mono;
}

static void clear_wake(const struct pinger *p)
{
    uint64_t count;

    (void)!read(p->wake_fd, &count, sizeof count);
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

static int engine_epoll_run(struct pinger *p, const char **call)
{
    const struct epoll_event *events = p->loop->events;
    uint64_t now;

    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* the default lets a due ping be 50 us late */
    start_all(p);
    now = clock_now_ns();
    while (pinger_advance(p, now), !pinger_done(p, now)) {
        int n = wait_for_events(p, now);

        if (unlikely(n < 0) && errno != EINTR) {
            *call = "epoll_wait";
            return -errno;
        }
        if (p->loop->kernel_times)
            compare_clocks(p->loop);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (unlikely(!c))
                clear_wake(p);
            else if (likely(c->state != CONN_CLOSED))
                conn_ready(p, c, events[i].events);
        }
        now = clock_now_ns();
        pinger_waited(p, n > 0 ? (unsigned)n : 0);
        if (p->phase != PHASE_DRAIN)
            fire_due(p, now);
    }
    pinger_end(p, now);
    return 0;
}

static const char *engine_epoll_unavailable(void)
{
    return NULL;
}

const struct engine engine_epoll = {
    .name = "epoll",
    .unavailable = engine_epoll_unavailable,
    .kernel_times = true,
    .tls = true,
    .open = engine_epoll_open,
    .run = engine_epoll_run,
    .close = engine_epoll_close,
};
