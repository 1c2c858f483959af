/* session.h - one test, from the client's request to the result it is sent.
 *
 * A session runs in a thread of its own, so that the control listener can tell other clients that
 * the server is busy, and so that any number of sessions can be there to take turns. It blocks in
 * poll and never in a single call without a bound.
 */
#ifndef PYBENCH_SESSION_H
#define PYBENCH_SESSION_H

#include "config.h"
#include "talk.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Where a session is, for whoever started it. */
enum session_state {
    SESSION_ENTERING, /* it is looked at what is wanted, and who wants it: no test yet. This ends by
                         itself, and soon, though a wrong token takes a moment */
    SESSION_RUNNING,
    SESSION_OVER, /* session_run is about to return */
};

struct session {
    const struct session_config *config;
    _Atomic bool *pinging; /* shared by all that take turns: one of them pings */
    int changed_fd;        /* borrowed eventfd: told of each change of the state */
    bool turns;            /* whether its request asks for turns: then it has no test to itself */
    struct talk talk;      /* its input begins with the whole request */
    _Atomic enum session_state state;
    char summary[768]; /* out: what became of it, one line for the log */
};

/* Run the test that session->talk.input asks for and answer its client, an `error` line when it
 * could not be done. Every socket of the test is closed when it returns, and session->state over.
 */
void session_run(struct session *session);

#endif
