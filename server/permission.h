/* permission.h - whether a control client may have the test that it asks for: its token, and to
 * whom connections may be opened for it.
 *
 * Place: a session's second stage. Threads: the session's.
 */
#ifndef PYBENCH_PERMISSION_H
#define PYBENCH_PERMISSION_H

#include "config.h"
#include "failure.h"
#include "request.h"
#include "talk.h"

/* Completes the targets on the way: what is the client's own address, or on its link, only the
 * connection to it tells. After a wrong token it takes 100 ms, so that guessing is slow. Returns 0,
 * or a negative errno: with fail filled why not, -ECANCELED without when the client has gone. */
int permission_check(struct request *request, const struct session_config *config,
                     const struct talk *talk, struct failure *fail);

#endif
