/* connect.h - open N connections to one listener or several, some at a time, for as long as more
 * come up.
 *
 * The listener may have a backlog of three and accept slowly: its queue then overflows and SYNs are
 * dropped in silence. So the number of connects in flight is a congestion window: it grows with
 * every connection that comes up and closes when one goes unanswered. Runs in the session's thread.
 */
#ifndef PYBENCH_CONNECT_H
#define PYBENCH_CONNECT_H

#include "address.h"
#include "failure.h"
#include "transport.h"

#include <stdint.h>

struct connect_job {
    const struct address_list *targets; /* of one family; each has a connection or more */
    const struct address_list *sources; /* local addresses to use in turns; none: the kernel's
                                           choice, and on IPv4 loopback more of 127.0.0.0/8 */
    struct tls_context *tls;            /* to shake hands by; NULL: plain connections */
    uint32_t conns;
    uint64_t stall_ns; /* give up when for that long no further one came up */
    int control_fd;    /* its peer's going away ends the job */
    int stop_fd;       /* becoming readable ends the job */
};

struct connector;

/* Ready a connector in *out for a job, which must outlive it. Returns 0 or a negative errno with
 * fail filled. */
int connect_open(struct connector **out, const struct connect_job *job, struct failure *fail);

/* Fill fds[0..count) with further connected, non-blocking sockets that have TCP_NODELAY, and
 * sessions[0..count) with their TLS, if the job has any; all calls together may ask for job.conns.
 * Of those that all calls fill, number i from 0 is connected to the target of number i modulo their
 * count. They belong to the caller. Returns 0, -ECANCELED when control_fd or stop_fd ended it, or
 * another negative errno with fail filled; nothing of this call stays open after a failure, and
 * there is no further one. */
int connect_more(struct connector *c, uint32_t count, int *fds, struct tls **sessions,
                 struct failure *fail);

/* Handshakes of TLS so far: the time in which any was under way, and that of each, added up. */
struct handshakes {
    uint64_t busy_ns;
    uint64_t sum_ns;
};

struct handshakes connect_handshakes(const struct connector *c);

/* c may be NULL. */
void connect_close(struct connector *c);

#endif
