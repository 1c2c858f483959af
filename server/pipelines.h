/* pipelines.h - of connections with several pings in flight: how many are out, and when each began.
 *
 * A stream keeps the order of what is sent on it: echoes come back oldest first. So a ring of times
 * for each connection is all that is needed beside struct conn (pinger.h). This is the book that is
 * kept, and no more: pinger.c looks into it for what is still out, pipeline.c does the pinging.
 *
 * Threads: as struct pinger, which has it.
 */
#ifndef PYBENCH_PIPELINES_H
#define PYBENCH_PIPELINES_H

#include <stddef.h>
#include <stdint.h>

/* What a connection has beside its struct conn. */
struct pipeline {
    uint32_t out;    /* pings in flight, at most the request's inflight */
    uint32_t unsent; /* of these, the last so many of which the kernel has not all bytes yet */
    uint32_t oldest; /* place of the oldest one's time: see pipelines_begun_ns */
    uint32_t
        pending; /* the engine's own; not 0: it cannot send now, and will be told when it can */
};

/* All of a thread's. */
struct pipelines {
    uint32_t depth;       /* the request's inflight */
    struct pipeline *all; /* one a connection; owned */
    uint64_t *begun_ns;   /* depth of them a connection, a ring; owned */
};

/* Returns 0 or -ENOMEM. */
int pipelines_init(struct pipelines **out, uint32_t conns, uint32_t depth);
void pipelines_free(struct pipelines *pipelines); /* may be NULL */

/* Where it stands when the index-th ping in flight of that connection of the thread began, the
 * oldest one being 0; index <= out: of the next one, if there is room for it. */
static inline uint64_t *pipelines_begun_ns(const struct pipelines *pipelines, size_t conn,
                                           uint32_t index)
{
    uint32_t place = pipelines->all[conn].oldest + index;

    if (place >= pipelines->depth) /* index <= depth, oldest < depth */
        place -= pipelines->depth;
    return &pipelines->begun_ns[conn * pipelines->depth + place];
}

#endif
