/* pinger.c - see pinger.h: the calls that are not hot. */
#define _GNU_SOURCE
#include "pinger.h"

#include "arrivals.h"
#include "pipelines.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* After the window, how long outstanding echoes are waited for before their connections are closed.
 */
static const uint64_t DRAIN_NS = 2 * NS_PER_S;

static uint64_t before_first(const struct plan *plan, const struct conn *conn);

static int slices_init(struct pinger *pinger)
{
    const struct request *request = pinger->plan->request;
    uint64_t count = (request->runtime_ns + request->slice_ns - 1) / request->slice_ns;

    pinger->slices = calloc(count, sizeof *pinger->slices);
    if (!pinger->slices)
        return -ENOMEM;
    pinger->slice_count = (uint32_t)count;
    pinger->slice_end_ns = 0; /* when the window begins is not known yet */
    return 0;
}

int pinger_init(struct pinger *pinger, const struct plan *plan, struct conn *conns, uint32_t count,
                unsigned index)
{
    int err;

    pinger->plan = plan;
    pinger->conns = conns;
    pinger->count = count;
    pinger->cpu = -1;
    pinger->random = index; /* the same test draws the same think times again */
    atomic_init(&pinger->alive, count);
    pinger->slice_end_ns = UINT64_MAX;
    pinger->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pinger->wake_fd < 0)
        return -errno;
    if ((err = message_init(&pinger->message, plan->request->msize, plan->request->version == 1)) <
        0)
        return err;
    if (plan->request->slice_ns && (err = slices_init(pinger)) < 0)
        return err;
    if (plan->request->inflight > 1 &&
        (err = pipelines_init(&pinger->pipelines, count, plan->request->inflight)) < 0)
        return err;
    return plan->paced ? timers_init(&pinger->waiting, count) : 0;
}

void pinger_free(struct pinger *pinger)
{
    if (pinger->plan && pinger->wake_fd >= 0)
        close(pinger->wake_fd);
    message_free(&pinger->message);
    timers_free(&pinger->waiting);
    pipelines_free(pinger->pipelines);
    free(pinger->slices);
}

void pinger_begin(struct pinger *pinger)
{
    const struct plan *plan = pinger->plan;

    pinger->phase = PHASE_WARMUP;
    pinger->out = 0;
    pinger->waiting.count = 0;
    atomic_store_explicit(&pinger->echoes, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < pinger->count; i++) {
        struct conn *conn = &pinger->conns[i];

        if (conn->state == CONN_HOME)
            conn->state = CONN_IDLE;
        /* its echo is still to come: what comes after that is the first ping of its schedule */
        if (conn->state == CONN_FLYING && plan->interval_ns)
            conn->due_ns = before_first(plan, conn);
    }
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * NS_PER_US;
}

/* The window begins for this thread: what it has used until now is not of it. */
static void begin_window(struct pinger *pinger)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    pinger->phase = PHASE_WINDOW;
    pinger->user_before_ns = timeval_ns(usage.ru_utime);
    pinger->sys_before_ns = timeval_ns(usage.ru_stime);
}

/* The window is over for this thread. */
static void end_window(struct pinger *pinger)
{
    struct rusage usage;

    if (pinger->phase != PHASE_WINDOW)
        return;
    getrusage(RUSAGE_THREAD, &usage);
    pinger->counters.user_ns += timeval_ns(usage.ru_utime) - pinger->user_before_ns;
    pinger->counters.sys_ns += timeval_ns(usage.ru_stime) - pinger->sys_before_ns;
}

bool pinger_done(const struct pinger *pinger, uint64_t now_ns)
{
    const struct plan *plan = pinger->plan;

    return atomic_load_explicit(&pinger->alive, memory_order_relaxed) == 0 ||
           atomic_load_explicit(&plan->abandoned, memory_order_relaxed) ||
           (pinger->phase == PHASE_DRAIN &&
            (pinger->out == 0 || now_ns >= plan->window_end_ns + DRAIN_NS));
}

/* The end of its TLS: the peer is told, while there is a socket to tell it by. */
static void session_close(struct pinger *pinger, const struct conn *conn)
{
    tls_say_end(conn_tls(pinger, conn));
    tls_free(conn_tls(pinger, conn));
    pinger->sessions[conn - pinger->conns] = NULL;
}

void conn_close(struct pinger *pinger, struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (pinger->sessions)
        session_close(pinger, conn);
    shutdown(conn->fd, SHUT_RDWR);
    close(conn->fd);
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

void conn_retire(struct pinger *pinger, struct conn *conn)
{
    conn_close(pinger, conn);
    atomic_fetch_sub_explicit(&pinger->alive, 1, memory_order_relaxed);
}

enum lost_cause lost_cause_of(int err)
{
    if (err == TLS_BROKEN)
        return LOST_TLS;
    return err == ECONNRESET || err == EPIPE ? LOST_RESET : LOST_ERROR;
}

/* splitmix64, Steele, Lea, Flood, OOPSLA 2014: one word of state, good enough to spread think
 * times. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t think_time(struct pinger *pinger)
{
    uint64_t low = pinger->plan->request->think_min_ns;
    uint64_t span = pinger->plan->request->think_max_ns - low + 1;

    /* multiply-shift: uniform over the span to within 2**-64 */
    return low + (uint64_t)(((unsigned __int128)random_next(&pinger->random) * span) >> 64);
}

static void wait_until(struct pinger *pinger, const struct conn *conn, uint64_t then_ns)
{
    timers_push(&pinger->waiting, then_ns, (uint32_t)(conn - pinger->conns));
}

/* Open loop: from when the ping before it is due to when the connection's ping number is. */
static uint64_t gap_ns(const struct pinger *pinger, const struct conn *conn, uint32_t number)
{
    const struct plan *plan = pinger->plan;

    if (!plan->request->poisson)
        return plan->interval_ns;
    return arrivals_gap_ns(arrivals_stream(plan->request->seed, conn->id), number,
                           plan->interval_ns);
}

bool conn_schedule(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    if (pinger->plan->interval_ns == 0) {
        wait_until(pinger, conn, now_ns + think_time(pinger));
        return false;
    }
    conn->due_ns += gap_ns(pinger, conn, conn->seq + 1);
    if (conn->due_ns <= now_ns)
        return true;
    wait_until(pinger, conn, conn->due_ns);
    return false;
}

/* A gap before the connection's first ping of a schedule. At random times that is the beginning: a
 * whole gap from any moment on, for it has no memory. Else the connections take turns: no two of
 * them are due at the same time. */
static uint64_t before_first(const struct plan *plan, const struct conn *conn)
{
    if (plan->request->poisson)
        return plan->began_ns;
    return plan->began_ns - plan->interval_ns +
           (uint64_t)((unsigned __int128)plan->interval_ns * conn->id / plan->request->conns);
}

void conn_schedule_first(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    const struct plan *plan = pinger->plan;

    if (plan->interval_ns == 0) {
        wait_until(pinger, conn, now_ns + think_time(pinger));
        return;
    }
    conn->due_ns = before_first(plan, conn) + gap_ns(pinger, conn, conn->seq + 1);
    wait_until(pinger, conn, conn->due_ns);
}

struct conn *conn_pop_due(struct pinger *pinger, uint64_t now_ns)
{
    while (pinger->waiting.count > 0 && pinger->waiting.heap[0].at_ns <= now_ns) {
        struct conn *conn = &pinger->conns[timers_pop(&pinger->waiting).conn];

        if (conn->state == CONN_IDLE) /* else it was lost while it waited */
            return conn;
    }
    return NULL;
}

/* Unsent pings of a connection whose random times are drawn to be counted; the rest of a schedule
 * that is so far behind counts as if it were even, in no time and with the same mean. */
enum { UNSENT_DRAWN = 100 };

/* Count the random part of them: from *next_ns on, when ping number is due. *next_ns goes on. */
static void count_unsent_drawn(struct pinger *pinger, const struct conn *conn, uint64_t *next_ns,
                               uint32_t number)
{
    uint64_t end_ns = pinger->plan->window_end_ns;

    for (int drawn = 0; *next_ns < end_ns && drawn < UNSENT_DRAWN; drawn++) {
        if (*next_ns >= pinger->plan->window_begin_ns) {
            pinger->counters.unsent++;
            hist_record(&pinger->censored, end_ns - *next_ns);
        }
        *next_ns += gap_ns(pinger, conn, ++number);
    }
}

/* Count the connection's pings that were due in the window and are never sent: from next_ns on,
 * when ping number is due. */
static void count_unsent(struct pinger *pinger, const struct conn *conn, uint64_t next_ns,
                         uint32_t number)
{
    uint64_t interval_ns = pinger->plan->interval_ns;
    uint64_t begin_ns = pinger->plan->window_begin_ns, end_ns = pinger->plan->window_end_ns;
    uint64_t count;

    if (interval_ns == 0)
        return;
    if (pinger->plan->request->poisson)
        count_unsent_drawn(pinger, conn, &next_ns, number);
    if (next_ns < begin_ns)
        next_ns += (begin_ns - next_ns + interval_ns - 1) / interval_ns * interval_ns;
    if (next_ns >= end_ns)
        return;
    count = (end_ns - next_ns - 1) / interval_ns + 1;
    pinger->counters.unsent += count;
    hist_record_falling(&pinger->censored, end_ns - next_ns, interval_ns, count);
}

/* A ping is still out at until_ns or, if that is earlier, at the end of the window: the time it
 * spent inside and, in an open loop, how long ago it was due; that once, in its own turn. A thread
 * that is held up sends behind the window what was due in it, and what was not. */
static void count_open(struct pinger *pinger, const struct conn *conn, uint64_t until_ns)
{
    uint64_t begin_ns = pinger->plan->window_begin_ns, end_ns = pinger->plan->window_end_ns;
    uint64_t from_ns = conn->sent_at_ns > begin_ns ? conn->sent_at_ns : begin_ns;

    if (until_ns > end_ns)
        until_ns = end_ns;
    if (until_ns <= begin_ns)
        return;
    if (from_ns < until_ns)
        pinger->counters.open_ns += until_ns - from_ns;
    if (pinger->plan->interval_ns && conn->sent_at_ns >= pinger->plan->began_ns &&
        conn->due_ns < until_ns)
        hist_record(&pinger->censored, until_ns - conn->due_ns);
}

/* Count the pings that were to follow the one that is out. */
static void count_unsent_after(struct pinger *pinger, const struct conn *conn)
{
    if (pinger->plan->interval_ns)
        count_unsent(pinger, conn, conn->due_ns + gap_ns(pinger, conn, conn->seq + 1),
                     conn->seq + 1);
}

uint32_t conn_out(const struct pinger *pinger, const struct conn *conn)
{
    if (conn->state == CONN_PIPELINED)
        return pinger->pipelines->all[conn - pinger->conns].out;
    return conn->state == CONN_FLYING;
}

/* As count_open, for each ping that the connection has in flight. */
static void count_all_open(struct pinger *pinger, struct conn *conn, uint64_t until_ns)
{
    uint32_t out = conn_out(pinger, conn);

    for (uint32_t i = 0; i < out; i++) {
        if (conn->state == CONN_PIPELINED)
            conn->sent_at_ns =
                *pipelines_begun_ns(pinger->pipelines, (size_t)(conn - pinger->conns), i);
        count_open(pinger, conn, until_ns);
    }
}

void conn_lose(struct pinger *pinger, struct conn *conn, enum lost_cause cause)
{
    if (pinger->phase == PHASE_DRAIN)
        pinger->out -= conn_out(pinger, conn);
    else /* in the drain they have been counted */
        count_all_open(pinger, conn, clock_now_ns());
    pinger->counters.lost[cause]++;
    conn_retire(pinger, conn);
}

void conn_record_late(struct pinger *pinger, const struct conn *conn, uint64_t now_ns)
{
    pinger->counters.late_echoes++;
    if (pinger->phase != PHASE_DRAIN && pinger_sending(pinger, now_ns))
        count_open(pinger, conn, now_ns); /* else begin_drain has, or conn_finish will */
}

void conn_finish(struct pinger *pinger, struct conn *conn)
{
    if (pinger->phase == PHASE_DRAIN) { /* begin_drain has counted it */
        pinger->out--;
    } else {
        count_open(pinger, conn, UINT64_MAX);
        count_unsent_after(pinger, conn);
    }
    if (conn_out(pinger, conn) > 0)
        return;
    if (pinger->plan->turns)
        conn->state = CONN_HOME;
    else
        conn_retire(pinger, conn);
}

/* The window is over: who has nothing in flight has nothing to wait for. */
static void begin_drain(struct pinger *pinger)
{
    for (uint32_t i = 0; i < pinger->count; i++) {
        struct conn *conn = &pinger->conns[i];

        uint32_t out = conn_out(pinger, conn);

        if (out > 0) {
            pinger->out += out;
            count_all_open(pinger, conn, UINT64_MAX);
            count_unsent_after(pinger, conn);
        }
        if (conn->state != CONN_IDLE)
            continue;
        count_unsent(pinger, conn, conn->due_ns, conn->seq + 1);
        if (!pinger->plan->turns)
            conn_retire(pinger, conn);
    }
}

void pinger_advance(struct pinger *pinger, uint64_t now_ns)
{
    if (pinger->phase == PHASE_WARMUP && now_ns >= pinger->plan->window_begin_ns)
        begin_window(pinger);
    if (pinger->phase != PHASE_DRAIN && !pinger_sending(pinger, now_ns)) {
        end_window(pinger);
        pinger->phase = PHASE_DRAIN;
        begin_drain(pinger);
    }
}

/* Put down what the current slice had. */
static void slice_close(struct pinger *pinger)
{
    struct slice *slice = &pinger->slices[pinger->slice];
    struct histogram *latency = &pinger->latency;

    slice->messages = latency->total - pinger->sliced_messages;
    slice->latency_sum_ns = latency->sum_ns - pinger->sliced_sum_ns;
    slice->latency_max_ns = latency->max_ns;
    pinger->sliced_messages = latency->total;
    pinger->sliced_sum_ns = latency->sum_ns;
    if (latency->max_ns > pinger->sliced_max_ns)
        pinger->sliced_max_ns = latency->max_ns;
    latency->max_ns = 0;
}

void pinger_slice(struct pinger *pinger, uint64_t now_ns)
{
    uint64_t begin_ns = pinger->plan->window_begin_ns;
    uint64_t slice_ns = pinger->plan->request->slice_ns;
    uint64_t slice = (now_ns - begin_ns) / slice_ns;

    if (pinger->slice_end_ns)
        slice_close(pinger);
    pinger->slice = slice < pinger->slice_count ? (uint32_t)slice : pinger->slice_count - 1;
    pinger->slice_end_ns = begin_ns + (pinger->slice + 1) * slice_ns;
}

void pinger_end(struct pinger *pinger, uint64_t now_ns)
{
    end_window(pinger);
    pinger->counters.unanswered += pinger->out;
    if (pinger->slices) {
        slice_close(pinger);
        pinger->latency.max_ns = pinger->sliced_max_ns;
        pinger->slice_end_ns = UINT64_MAX;
    }
    pinger->ended_ns = now_ns;
}
