/* timers.h - which connection is due next: a 4-ary min-heap of (time, connection).
 *
 * Holds connections that think between two pings. With 60,000 of them a push or pop touches at most
 * eight levels; the heap is flat, allocated once, and never grows. One heap belongs to one thread.
 */
#ifndef PYBENCH_TIMERS_H
#define PYBENCH_TIMERS_H

#include <stdint.h>

struct timer {
    uint64_t at_ns;
    uint32_t conn; /* index of the connection in its thread's array */
};

struct timers {
    struct timer *heap; /* owned */
    uint32_t count;
};

/* Room for capacity entries. Returns 0 or -ENOMEM. */
int timers_init(struct timers *timers, uint32_t capacity);
void timers_free(struct timers *timers);

/* Add an entry; the caller keeps count below capacity (one entry a connection at most). */
void timers_push(struct timers *timers, uint64_t at_ns, uint32_t conn);

/* Remove and return the earliest entry; there must be one. */
struct timer timers_pop(struct timers *timers);

#endif
