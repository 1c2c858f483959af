/* sessions.h - who is served: one test at a time, or any number that take turns; whoever wants the
 * other meanwhile is told that the server is busy.
 *
 * Place: takes clients whose request is whole from clients.c, runs a session for each (session.h),
 * and gives them back with their answer. Threads: the main thread's; each session has a thread of
 * its own.
 */
#ifndef PYBENCH_SESSIONS_H
#define PYBENCH_SESSIONS_H

#include "clients.h"
#include "session.h"

#include <stdatomic.h>
#include <stdbool.h>

struct sessions {
    const struct session_config *config;
    struct clients *clients;
    bool quiet;            /* no line in the log for each test */
    struct running *first; /* owned; one alone, or any number that take turns; the newest first */
    _Atomic bool pinging;  /* one of these pings */
    int changed_fd;        /* owned eventfd: one of them has changed its state: sessions_finish */
    int stop_fd;           /* owned eventfd: all shall end */
};

/* Fill a zeroed struct; config and clients must outlive it. Returns 0 or a negative errno. */
int sessions_open(struct sessions *sessions, const struct session_config *config,
                  struct clients *clients, bool quiet);

/* Whether it is just being looked at who one of them is. One at a time, for the sake of the token:
 * else it could be guessed at in parallel, so nobody is to be heard meanwhile. */
bool sessions_entering(const struct sessions *sessions);

/* Start those who wait and can be served, tell those who have waited in vain. */
void sessions_serve(struct sessions *sessions);

/* Of the sessions that are over: log what became of them, see their clients out. */
void sessions_finish(struct sessions *sessions);

/* Let all end with `error code=stopped`, and wait for it. */
void sessions_close(struct sessions *sessions);

#endif
