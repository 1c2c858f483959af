/* watch.h - the session's part while its ping threads are at it: to wake them at the boundaries of
 * the plan, to tell the client how it goes, and to obey it.
 *
 * Threads: the session's.
 */
#ifndef PYBENCH_WATCH_H
#define PYBENCH_WATCH_H

#include "crew.h"
#include "failure.h"
#include "talk.h"

#include <stdbool.h>

/* Keep watch over the turn that has begun until all threads have ended it. Sets *stopped when the
 * client said stop, with which the window has ended. Returns 0, -ECANCELED when the client is gone
 * or the server stops, or -EINVAL with fail filled: the threads are still at it then. */
int watch_turn(struct crew *crew, struct talk *talk, bool *stopped, struct failure *fail);

#endif
