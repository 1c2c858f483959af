/* outcome.h - what a test measured: the counters of a ping thread, and the outcome of all.
 *
 * Place: the engines count into a pinger's own (pinger.h); turns.c adds them up when a turn has
 * ended, session.c when the threads have, and reply.c writes the outcome to the wire. Plain data.
 * Threads: one owner each.
 *
 * Counts and times are of the window unless they say otherwise; a time is in nanoseconds.
 */
#ifndef PYBENCH_OUTCOME_H
#define PYBENCH_OUTCOME_H

#include "fairness.h"
#include "histogram.h"

#include <stddef.h>
#include <stdint.h>

/* Why a connection ended before its test did. */
enum lost_cause { LOST_RESET, LOST_CLOSED, LOST_CORRUPT, LOST_ERROR, LOST_TLS, LOST_CAUSES };

/* What a ping thread counts beside its histograms. Every member is a sum, and a uint64_t: see
 * counters_add. */
struct counters {
    uint64_t sent;              /* messages from start to end, warm-up included */
    uint64_t drained;           /* echoes that came after the window */
    uint64_t lost[LOST_CAUSES]; /* connections, from start to end */
    uint64_t early_ns, open_ns; /* of pings that the window's beginning, or its end, cut in two:
                                   what lay before it, and what lay inside */
    uint64_t user_ns, sys_ns;   /* CPU time */
    uint64_t idle_ns;           /* of that, what was spent polling in vain */
    uint64_t waits, events;     /* waits, and ready connections that they gave */
    uint64_t events_squared;    /* the sum of each wait's events squared; over events it is the
                                   batch that the average message was read in */
    uint64_t queue_ns;          /* kernel times only: that echoes lay here before they were read */
    uint64_t queue_samples;     /* echoes that queue_ns sums over */
    uint64_t late;        /* open loop only: pings sent more than LATE_NS after the due time */
    uint64_t unsent;      /* open loop only: pings that were due in the window and never sent */
    uint64_t unanswered;  /* pings without an echo at the end of a turn, lost ones left out */
    uint64_t late_echoes; /* theirs, when they came in a later turn: in no latency */
};

/* Add all counters of from to into. By position, so that a new member cannot be forgotten here. */
static inline void counters_add(struct counters *into, const struct counters *from)
{
    uint64_t *sums = (uint64_t *)into;
    const uint64_t *terms = (const uint64_t *)from;

    for (size_t i = 0; i < sizeof *into / sizeof *sums; i++)
        sums[i] += terms[i];
}

/* Take all counters of what away from those of from, which has counted on since. */
static inline void counters_subtract(struct counters *from, const struct counters *what)
{
    uint64_t *sums = (uint64_t *)from;
    const uint64_t *terms = (const uint64_t *)what;

    for (size_t i = 0; i < sizeof *from / sizeof *sums; i++)
        sums[i] -= terms[i];
}

/* What one turn measured, all threads together. */
struct turn_outcome {
    uint64_t number;   /* in its session, from 1 */
    uint64_t messages; /* echoes in its window */
    uint64_t echoes;   /* from its beginning to its end, late ones of earlier turns included */
    uint64_t window_ns;
    uint64_t latency_sum_ns, latency_max_ns;
    uint64_t drain_ns; /* from the window's end until the last echo had come, or was given up */
    uint64_t alive;    /* connections that are left */
    struct counters counters;
};

/* A stretch of the window: latencies of the echoes that arrived in it. */
struct slice {
    uint64_t messages;
    uint64_t latency_sum_ns;
    uint64_t latency_max_ns;
};

/* Add what another thread had in the same stretch. */
static inline void slice_add(struct slice *into, const struct slice *from)
{
    into->messages += from->messages;
    into->latency_sum_ns += from->latency_sum_ns;
    if (from->latency_max_ns > into->latency_max_ns)
        into->latency_max_ns = from->latency_max_ns;
}

/* What one of several targets had. */
struct listener {
    uint64_t conns;
    uint64_t messages;
};

/* The result of a test, all threads together. */
struct outcome {
    struct counters counters;
    struct histogram latency;   /* total is the number of messages */
    struct histogram corrected; /* from when each ping was due; filled in an open loop only */
    struct histogram censored;  /* open loop only: pings without an echo, how long they were overdue
                                   at the end of the window: what they would have taken, at least */
    struct fairness fairness;
    struct listener *listeners; /* of several targets, in their order; NULL: there is one. Owned */
    unsigned listener_count;
    struct slice *slices; /* of the window as it was, in order; NULL: not asked for. Owned */
    uint32_t slice_count;
    uint64_t connect_ns; /* to establish all connections */
    uint64_t window_ns;  /* length of the window */
    uint64_t idle_lost;  /* idle connections that were not as they were opened at the end */
    unsigned threads;
    const char *engine; /* static */

    /* of connect_ns, while any handshake of TLS was under way; what each took, added up; what they
     * agreed on, static, NULL: there is no TLS */
    uint64_t handshake_busy_ns, handshake_sum_ns;
    const char *cipher;
};

/* Time that connections spent awaiting an echo, added up: over the window it is the mean number of
 * pings in flight, Little's L. */
static inline uint64_t outcome_in_flight_ns(const struct outcome *outcome)
{
    return outcome->latency.sum_ns - outcome->counters.early_ns + outcome->counters.open_ns;
}

#endif
