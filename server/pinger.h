/* pinger.h - one thread's share of a test: its connections, what it measured, and when.
 *
 * What every engine has in common. An engine (engine_epoll.c) moves the bytes; it calls in here
 * with what arrived and is told what to do next. The hot calls are inline.
 *
 * Threads: a struct pinger belongs to its ping thread while the engine runs, except for the
 * atomics, which the session's thread reads for progress. struct plan is shared and read-only, but
 * for its atomics, which the session's thread writes to end a test.
 */
#ifndef PYBENCH_PINGER_H
#define PYBENCH_PINGER_H

#include "clock.h"
#include "message.h"
#include "outcome.h"
#include "request.h"
#include "timers.h"
#include "transport.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What all threads of a test share. The times are of the turn that is on; a test that was not asked
 * for turns is one long turn. Between two turns, when no engine runs, they are set anew. */
struct plan {
    const struct request *request;
    bool paced;               /* a connection waits between an echo and its next ping */
    bool turns;               /* connections stay open after the window: another turn may come */
    uint64_t interval_ns;     /* open loop: between two pings of one connection, or the mean of it;
                               * 0: closed loop */
    uint64_t began_ns;        /* the turn began here; the schedule of an open loop counts from it */
    uint64_t window_begin_ns; /* warm-up ends here */
    _Atomic uint64_t window_end_ns; /* no ping is sent from here on; may be moved forward */
    _Atomic bool abandoned;         /* nobody waits for the result: leave at once */
};

/* Home: its last echo of a turn has come, and all is counted. A ping that is in flight when its
 * turn ends may stay so over any number of turns. Pipelined: flying, with more than one in flight,
 * see pipeline.h. */
enum conn_state { CONN_IDLE, CONN_FLYING, CONN_HOME, CONN_CLOSED, CONN_PIPELINED };

/* One data connection. 48 bytes: 10,000 of them stay in the second-level cache. */
struct conn {
    int fd;
    uint32_t id;         /* in the test, not in the thread */
    uint32_t seq;        /* of the message in flight, or of the last one */
    uint32_t sent;       /* bytes of it that the kernel has taken */
    uint32_t echoed;     /* bytes of it that came back */
    uint8_t state;       /* enum conn_state */
    uint64_t sent_at_ns; /* when its sending began */
    uint64_t due_ns;     /* when it should have; set in an open loop only */
    uint64_t messages;   /* echoes inside the window */
};

/* Where a thread is in its test. */
enum phase { PHASE_WARMUP, PHASE_WINDOW, PHASE_DRAIN };

struct pinger {
    const struct plan *plan;
    struct conn *conns;    /* this thread's slice */
    struct tls **sessions; /* the TLS of each of them while it is open; NULL: plain connections */
    uint32_t count;
    int wake_fd; /* eventfd: a boundary of the plan has come, look at the clock */
    int cpu;     /* to run on, -1: anywhere */

    enum phase phase;
    struct message message;
    struct timers waiting;       /* connections whose next ping is due later */
    struct pipelines *pipelines; /* owned; NULL: one ping in flight per connection */
    uint64_t random;
    uint32_t out; /* in the drain: pings still in flight */

    /* read by the session while the test runs */
    _Atomic uint64_t echoes;
    _Atomic uint32_t alive;

    /* the measurement, complete when the thread has ended */
    struct counters counters;
    uint64_t user_before_ns, sys_before_ns; /* the thread's CPU times when the window began */
    struct histogram latency;
    struct slice *slices; /* of the planned window, slice_count of them; NULL: not asked for */
    uint32_t slice_count;
    uint32_t slice;        /* the current one */
    uint64_t slice_end_ns; /* it ends here: UINT64_MAX without slices */
    uint64_t sliced_messages, sliced_sum_ns, sliced_max_ns; /* of latency: in the slices before */
    struct histogram corrected; /* from the due time; filled in an open loop only */
    struct histogram censored;  /* likewise: see outcome.h */
    uint64_t ended_ns;

    struct loop *loop; /* the engine's own state: each engine's file defines its struct loop */
};

/* A turn has been planned: what the last one has left is put in order. Before each run of the
 * engine, in the pinger's thread. */
void pinger_begin(struct pinger *pinger);

/* Fill a zeroed pinger. Returns 0 or a negative errno; pinger_free is right after either. */
int pinger_init(struct pinger *pinger, const struct plan *plan, struct conn *conns, uint32_t count,
                unsigned index);
void pinger_free(struct pinger *pinger);

/* Notice that a boundary of the plan has been passed: takes the CPU times of the window. */
void pinger_advance(struct pinger *pinger, uint64_t now_ns);

/* The current slice ended before now_ns, which lies in the window: the one of now_ns begins.
 *
 * What a slice had is the difference that latency has made meanwhile, so that recording an echo
 * costs one comparison more, and none of its own for the slice's maximum: latency.max_ns is that of
 * the current slice, and the window's again from pinger_end on. */
void pinger_slice(struct pinger *pinger, uint64_t now_ns);

/* The last call of a turn, when the engine has nothing left to do, in whatever phase that is. */
void pinger_end(struct pinger *pinger, uint64_t now_ns);

/* Count a wait that gave n ready connections, if it lies in the window. */
static inline void pinger_waited(struct pinger *pinger, unsigned n)
{
    if (pinger->phase != PHASE_WINDOW)
        return;
    pinger->counters.waits++;
    pinger->counters.events += n;
    pinger->counters.events_squared += (uint64_t)n * n;
}

/* Busy polling: a thread that found nothing at now_ns looks on until then before it sleeps, and no
 * further than to the next due ping. Who sleeps must be woken, and it is the client's send that
 * does it: an interrupt of another CPU, at the expense of what is measured. */
static inline uint64_t pinger_polls_until(const struct pinger *pinger, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + pinger->plan->request->busy_poll_ns;

    if (pinger->waiting.count > 0 && pinger->waiting.heap[0].at_ns < until_ns)
        return pinger->waiting.heap[0].at_ns;
    return until_ns;
}

/* Whether to poll before sleeping at all: not while the last echoes are waited for, unless what
 * they cost the client counts: a turn is as it is to its very end. */
static inline bool pinger_polls(const struct pinger *pinger)
{
    return pinger->plan->request->busy_poll_ns > 0 &&
           (pinger->phase != PHASE_DRAIN || pinger->plan->turns);
}

/* A stretch of polling in vain: what it takes of the thread's CPU time, which on a shared CPU is
 * less than passes meanwhile. Asking for that is a system call, too dear for the short stretches of
 * a busy test: the first IDLE_UNASKED_NS of each count as they pass, and no more than that. */
struct idle {
    uint64_t from_ns;
    uint64_t cpu_from_ns; /* CPU time after the unasked part; 0: still in it */
};

static const uint64_t IDLE_UNASKED_NS = 50 * NS_PER_US;

/* The stretch goes on. */
static inline void idle_goes_on(struct idle *idle, uint64_t now_ns)
{
    if (__builtin_expect(!idle->cpu_from_ns && now_ns - idle->from_ns > IDLE_UNASKED_NS, 0))
        idle->cpu_from_ns = clock_thread_cpu_ns();
}

/* It is over: count it if it lies in the window. */
static inline void pinger_idled(struct pinger *pinger, const struct idle *idle, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - idle->from_ns;

    if (pinger->phase != PHASE_WINDOW)
        return;
    pinger->counters.idle_ns += passed_ns < IDLE_UNASKED_NS ? passed_ns : IDLE_UNASKED_NS;
    if (idle->cpu_from_ns)
        pinger->counters.idle_ns += clock_thread_cpu_ns() - idle->cpu_from_ns;
}

/* Tell the CPU that this is a loop that waits: it leaves more to the other thread of its core. */
static inline void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Whether the thread has nothing left to do. */
bool pinger_done(const struct pinger *pinger, uint64_t now_ns);

/* The TLS of a connection that is open, of a pinger that has sessions. */
static inline struct tls *conn_tls(const struct pinger *pinger, const struct conn *conn)
{
    return pinger->sessions[conn - pinger->conns];
}

/* Close a connection that ended before the test did. */
void conn_lose(struct pinger *pinger, struct conn *conn, enum lost_cause cause);

/* Close the connection's socket if it is open. Shuts it down first: an engine may hold one more
 * reference to it, and the peer shall see the end now. */
void conn_close(struct pinger *pinger, struct conn *conn);

/* The connection has an echo and the window is over: close it, unless another turn may come or it
 * has more pings in flight. */
void conn_finish(struct pinger *pinger, struct conn *conn);

/* Close a connection because the test is over. */
void conn_retire(struct pinger *pinger, struct conn *conn);

/* Pings that the connection has in flight. */
uint32_t conn_out(const struct pinger *pinger, const struct conn *conn);

/* The cause that an errno of send or recv, or of TLS, stands for. */
enum lost_cause lost_cause_of(int err);

/* Schedule the connection's next ping: by a think time drawn anew, or until the schedule of an open
 * loop has it due. Returns whether it is due already: the schedule is behind, ping at once. */
bool conn_schedule(struct pinger *pinger, struct conn *conn, uint64_t now_ns);

/* Take a connection whose ping is due by now_ns, NULL when there is none. */
struct conn *conn_pop_due(struct pinger *pinger, uint64_t now_ns);

/* Schedule the very first ping: by a think time, or by the connection's place in the schedule. */
void conn_schedule_first(struct pinger *pinger, struct conn *conn, uint64_t now_ns);

/* Due pings that are sent in a row before echoes are read again: who had one at once would find it
 * read only after all that are due with it, and the client be blamed. */
enum { DUE_IN_A_ROW = 64 };

/* An open loop sends more than this after the due time: the ping counts as late. */
enum { LATE_NS = 1000000 };

/* Begin a ping at now_ns: the message is stamped into pinger->message, none of it is sent yet. */
static inline void conn_begin(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    conn->seq++;
    conn->sent = 0;
    conn->echoed = 0;
    conn->state = CONN_FLYING;
    conn->sent_at_ns = now_ns;
    pinger->counters.sent++;
    if (pinger->plan->interval_ns && now_ns - conn->due_ns > LATE_NS &&
        pinger->phase == PHASE_WINDOW)
        pinger->counters.late++;
    message_stamp(&pinger->message, conn->seq, conn->id);
}

enum echo { ECHO_PARTIAL, ECHO_WHOLE, ECHO_CORRUPT, ECHO_PIPELINED };

/* Check length bytes that arrived on the connection (length > 0) and count them in. Bytes beyond
 * the echo, or without a message in flight, are corrupt: nobody asked for them. ECHO_PIPELINED:
 * they are for pipeline_received to check. */
static inline enum echo conn_check(struct pinger *pinger, struct conn *conn,
                                   const unsigned char *data, uint32_t length)
{
    if (conn->state != CONN_FLYING)
        return conn->state == CONN_PIPELINED ? ECHO_PIPELINED : ECHO_CORRUPT;
    if (length > conn->sent - conn->echoed)
        return ECHO_CORRUPT;
    message_stamp(&pinger->message, conn->seq, conn->id);
    if (!message_matches(&pinger->message, data, conn->echoed, length))
        return ECHO_CORRUPT;
    conn->echoed += length;
    return conn->echoed == pinger->message.size ? ECHO_WHOLE : ECHO_PARTIAL;
}

/* Record an echo whose ping was sent in an earlier turn: it is no latency of this one. */
void conn_record_late(struct pinger *pinger, const struct conn *conn, uint64_t now_ns);

/* Record a whole echo. now_ns serves as the end of this ping and, without think time, as the start
 * of the next: the times of a connection then leave no gap, and Little's law holds exactly. */
static inline void conn_record(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    const struct plan *plan = pinger->plan;

    /* only this thread writes it: a plain load and store, no locked instruction */
    atomic_store_explicit(&pinger->echoes,
                          atomic_load_explicit(&pinger->echoes, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    conn->state = CONN_IDLE;
    if (__builtin_expect(conn->sent_at_ns < plan->began_ns, 0)) {
        conn_record_late(pinger, conn, now_ns);
        return;
    }
    if (now_ns < plan->window_begin_ns)
        return;
    if (now_ns >= atomic_load_explicit(&plan->window_end_ns, memory_order_relaxed)) {
        pinger->counters.drained++;
        return;
    }
    conn->messages++;
    if (__builtin_expect(now_ns >= pinger->slice_end_ns, 0))
        pinger_slice(pinger, now_ns);
    if (__builtin_expect(conn->sent_at_ns < plan->window_begin_ns, 0))
        pinger->counters.early_ns += plan->window_begin_ns - conn->sent_at_ns;
    hist_record(&pinger->latency, now_ns - conn->sent_at_ns);
    if (plan->interval_ns)
        hist_record(&pinger->corrected, now_ns - conn->due_ns);
}

/* Whether new pings are still sent at now_ns. */
static inline bool pinger_sending(const struct pinger *pinger, uint64_t now_ns)
{
    return now_ns < atomic_load_explicit(&pinger->plan->window_end_ns, memory_order_relaxed);
}

#endif
