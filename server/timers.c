/* timers.c - the 4-ary heap behind timers.h. Four children share a cache line, so a pop of a
 * large heap costs half the misses of a binary one. */
#include "timers.h"

#include <errno.h>
#include <stdlib.h>

enum { ARITY = 4 };

int timers_init(struct timers *timers, uint32_t capacity)
{
    timers->heap = calloc(capacity, sizeof *timers->heap);
    if (!timers->heap)
        return -ENOMEM;
    timers->count = 0;
    return 0;
}

void timers_free(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

void timers_push(struct timers *timers, uint64_t at_ns, uint32_t conn)
{
    struct timer *heap = timers->heap;
    uint32_t hole = timers->count++;

    while (hole > 0) {
        uint32_t parent = (hole - 1) / ARITY;

        if (heap[parent].at_ns <= at_ns)
            break;
        heap[hole] = heap[parent];
        hole = parent;
    }
    heap[hole] = (struct timer){.at_ns = at_ns, .conn = conn};
}

static uint32_t earliest_child(const struct timers *timers, uint32_t first)
{
    uint32_t end = first + ARITY < timers->count ? first + ARITY : timers->count;
    uint32_t best = first;

    for (uint32_t child = first + 1; child < end; child++)
        if (timers->heap[child].at_ns < timers->heap[best].at_ns)
            best = child;
    return best;
}

struct timer timers_pop(struct timers *timers)
{
    struct timer *heap = timers->heap;
    struct timer top = heap[0];
    struct timer last = heap[--timers->count];
    uint32_t hole = 0;

    for (uint32_t first = 1; first < timers->count; first = hole * ARITY + 1) {
        uint32_t child = earliest_child(timers, first);

        if (last.at_ns <= heap[child].at_ns)
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = last;
    return top;
}
