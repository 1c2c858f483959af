/* duequeue.h - which connection is due next: a 4-ary min-heap of (time, connection).
 *
 * Holds connections that think between two pings. With 60,000 of them a push or pop touches at most
 * eight levels; the heap is flat, allocated once, and never grows. One heap belongs to one thread.
 */
#ifndef PYBENCH_DUEQUEUE_H
#define PYBENCH_DUEQUEUE_H

#include <stdint.h>

struct due {
    uint64_t at_ns;
    uint32_t conn; /* index of the connection in its thread's array */
};

struct duequeue {
    struct due *heap; /* owned */
    uint32_t count;
    uint32_t capacity;
};

/* Room for capacity entries. Returns 0 or -ENOMEM. */
int due_init(struct duequeue *queue, uint32_t capacity);
void due_free(struct duequeue *queue);

/* Add an entry; the caller keeps count below capacity (one entry a connection at most). */
void due_push(struct duequeue *queue, uint64_t at_ns, uint32_t conn);

/* Remove and return the earliest entry; the queue must not be empty. */
struct due due_pop(struct duequeue *queue);

#endif
