/* pipeline.h - connections with several pings in flight: inflight of a request above 1.
 *
 * What is out is in pipelines.h. Each ping has a sequence number of its own, and each echo is
 * checked against that of the oldest one.
 *
 * Whoever pings this way is CONN_PIPELINED while something is out, a state that the hot calls of
 * pinger.h do not know: with one in flight they are as they would be without this file. Then in
 * struct conn: seq is of the ping that began last, echoed counts the bytes of the oldest, sent
 * those of the first that the kernel has not taken whole, and sent_at_ns is of the one being
 * counted.
 *
 * A ping begins when the one before it in its place has its echo, whether or not the socket has
 * room: inflight of them are out at any time, and Little's law holds with as many. What lies here
 * for want of room has begun, as what lies in the socket's own buffer has.
 *
 * Threads: as pinger.h.
 */
#ifndef PYBENCH_PIPELINE_H
#define PYBENCH_PIPELINE_H

#include "pinger.h"
#include "pipelines.h"

#include <stdbool.h>
#include <stdint.h>

static inline struct pipeline *conn_pipeline(const struct pinger *pinger, const struct conn *conn)
{
    return &pinger->pipelines->all[conn - pinger->conns];
}

/* Begin pings at now_ns until all that may be are in flight; none of them is sent yet. */
void pipeline_fill(struct pinger *pinger, struct conn *conn, uint64_t now_ns);

/* Take in length bytes that were read at now_ns: check them and record each echo that they make
 * whole; behind the window each is finished. Returns the number of those, or -1 when the bytes are
 * not what was sent, or more: corrupt. */
int pipeline_received(struct pinger *pinger, struct conn *conn, const unsigned char *data,
                      uint32_t length, uint64_t now_ns);

/* Write what is to be sent next, as many whole messages as fit, or what is left of one. room: not
 * less than a message. Returns the bytes; 0: nothing waits. */
uint32_t pipeline_compose(struct pinger *pinger, const struct conn *conn, unsigned char *buffer,
                          uint32_t room);

/* Stamp the message that is to be sent next into pinger->message; conn->sent bytes of it are. There
 * must be one. */
void pipeline_stamp(struct pinger *pinger, const struct conn *conn);

/* The kernel has taken so many bytes more. */
void pipeline_sent(struct pinger *pinger, struct conn *conn, uint32_t bytes);

#endif
