/* crew.h - the ping threads of a test: started share by share, let loose turn by turn, joined.
 *
 * A thread's connections are opened here, and are its own from then on: it takes them into a table
 * of descriptors of its own (files.h), where there can be one, and the copies in this one are
 * closed. Their numbers mean nothing here any more. Between turns the threads sleep.
 *
 * Threads: all functions belong to the session's thread. A pinger's books are its ping thread's
 * while a turn is on (crew_begin to crew_has_ended), but for the atomics; before and after, they
 * are the session's to read. The plan changes in crew_begin only, but for its atomics.
 */
#ifndef PYBENCH_CREW_H
#define PYBENCH_CREW_H

#include "command.h"
#include "connect.h"
#include "engine.h"
#include "failure.h"
#include "pinger.h"
#include "request.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A ping thread and what it works on. */
struct ping_thread {
    pthread_t thread;
    struct pinger pinger;
    struct crew *crew;
    bool arrived; /* under the gate: it waits for turns, or has failed to come so far */
    int *idle;    /* connections that are held, and nothing else; the crew's */
    uint32_t idle_count;
    uint32_t idle_lost; /* see outcome.h; valid once the thread has left */
    bool apart;         /* it has a table of its own; valid once it has arrived */
    const char *call;   /* static: what failed in the engine's loop; NULL: to open it */
    int err;            /* a negative errno: it failed; valid when it has arrived, or ended */
};

struct crew {
    struct plan plan;
    struct conn *conns;          /* owned; as many as the request asks for */
    struct ping_thread *threads; /* owned */
    unsigned started;            /* whose thread runs: these have a pinger to be read */
    uint64_t connect_ns;         /* to establish all connections, without starting the threads */
    int done_fd;   /* owned eventfd: a thread has ended its part of the turn, see crew_has_ended */
    uint64_t turn; /* the one that is on, or was last, from 1; written under the gate */
    struct handshakes handshakes; /* of connect_ns, what TLS took */

    /* from here on crew.c's own */
    struct tls **sessions; /* owned: the TLS of each connection; NULL: plain ones */

    const struct engine *engine;
    unsigned wanted; /* threads */
    unsigned opened; /* whose pinger was initialised */
    unsigned joined; /* whose thread has ended */

    int *fds;            /* owned: of the share that is being opened, held_count of them open */
    uint32_t held_count; /* in this table, and closed by whoever gives up */
    int *idle;           /* owned: those of all threads, one after the other */
    uint32_t idle_dealt; /* of these */
    int *reserved;       /* descriptors that keep numbers free for the threads; owned */
    unsigned reserved_count;

    /* where the threads wait for a turn, asleep; a test without turns is one */
    pthread_mutex_t gate; /* of the members below; the plan is changed under it */
    pthread_cond_t opened_gate;
    pthread_cond_t arrival;
    unsigned ended; /* threads that have done their part of the turn */
    bool over;      /* there is no other: threads leave */
};

/* Ready a crew in *out for a request, which must outlive it, with what the threads will need kept
 * free: as many as the request says, else as have open files for all connections, and no fewer than
 * threads (>= 1). Nothing is connected yet. Returns 0, or a negative errno with fail filled. */
int crew_open(struct crew **out, const struct request *request, const struct engine *engine,
              unsigned threads, struct failure *fail);

/* Open the connections, share by share, each with the thread that will ping on it. The job is for
 * as many as the request. Returns 0, -ECANCELED when the job was ended, or another negative errno
 * with fail filled; crew_close is then all that is left to do. */
int crew_start(struct crew *crew, const struct connect_job *job, struct failure *fail);

/* Add each connection that is pinged, and its echoes, to the one of several listeners that it went
 * to, of count. */
void crew_add_listeners(const struct crew *crew, struct listener *listeners, unsigned count);

/* Plan a turn from now on and let the threads loose. The last one has ended. */
void crew_begin(struct crew *crew, const struct turn *turn);

/* Whether all threads have done their part of the turn; done_fd is not readable until the next has.
 * An engine may have failed: plan.abandoned is set then, and the threads are to be woken. */
bool crew_has_ended(struct crew *crew);

/* Have the threads look at the clock and the plan: a boundary has come, or been moved. */
void crew_wake(struct crew *crew);

/* The window of the turn ends now. */
void crew_end_window(struct crew *crew);

/* Nobody wants the result: end the turn that is on, wait until the threads have. */
void crew_abandon(struct crew *crew);

/* There is no further turn: wait until the threads have left. Every connection is closed then.
 * Returns 0, or what made an engine fail as a negative errno with fail filled. */
int crew_join(struct crew *crew, struct failure *fail);

/* Release everything, from any state; a turn that is on is abandoned. crew may be NULL. */
void crew_close(struct crew *crew);

#endif
