/* turns.h - the turns of a test, from the first ping to the last echo.
 *
 * A request that does not ask for turns has one, with its own warm-up and runtime. One that does
 * has as many as its client says, each with times of its own, and only while no other test of this
 * server is pinged.
 *
 * Threads: the session's. The lock of the turns, *pinging, is shared by all sessions.
 */
#ifndef PYBENCH_TURNS_H
#define PYBENCH_TURNS_H

#include "crew.h"
#include "failure.h"
#include "outcome.h"
#include "talk.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Ping in turns until the last has ended: its client has said stop, an engine failed (crew_join
 * will say how), or there was only one. The length of each window is added to outcome->window_ns,
 * and outcome->latency.max_ns becomes the greatest of all; the rest of what they measured is in the
 * pingers' books. Returns 0, -ECANCELED when the client is gone or the server stops, or another
 * negative errno with fail filled: threads may be pinging then, but nobody's turn is held up. */
int turns_take(struct crew *crew, struct talk *talk, _Atomic bool *pinging, struct outcome *outcome,
               struct failure *fail);

#endif
