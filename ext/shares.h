/* A C row with more connections than one table of descriptors holds.
 *
 * RLIMIT_NOFILE bounds a table, and the threads of a process share one unless told otherwise. So
 * the connections are dealt out to threads that each have a table of their own, accept their share
 * into it and run the row on it, as the calling thread does when one table is enough:
 *
 *   serve() -> thread: table of its own -> echo_accept() -> the row's open, run and close
 *
 * Threads: a share and all of its sockets belong to its thread, and to those that its row starts,
 * which have its table. They accept one after the other: all at once would be woken for each
 * connection. The calling thread waits, and looks at signals meanwhile.
 */
#ifndef PYBENCH_SHARES_H
#define PYBENCH_SHARES_H

#include "echo.h"

/* How many threads it takes for conns (>= 1) connections, 1 when one table holds them. */
int shares_needed(int conns);

/* What shares_row is to run, and how: the beginning of its state, set before it is opened. */
struct shares_job {
    const struct echo_row *row;
    int accept_flags; /* as for accept4 */
};

/* A row of rows. Unlike others it accepts by itself, from the listener of a set that has none
 * accepted; its open is a step that is repeated while it returns ECHO_AGAIN. */
extern const struct echo_row shares_row;

#endif
