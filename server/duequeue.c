/* duequeue.c - the 4-ary heap behind duequeue.h. Four children share a cache line, so a pop of a
 * large heap costs half the misses of a binary one. */
#include "duequeue.h"

#include <errno.h>
#include <stdlib.h>

enum { ARITY = 4 };

int due_init(struct duequeue *queue, uint32_t capacity)
{
    queue->heap = calloc(capacity, sizeof *queue->heap);
    if (!queue->heap)
        return -ENOMEM;
    queue->count = 0;
    queue->capacity = capacity;
    return 0;
}

void due_free(struct duequeue *queue)
{
    free(queue->heap);
    *queue = (struct duequeue){0};
}

void due_push(struct duequeue *queue, uint64_t at_ns, uint32_t conn)
{
    struct due *heap = queue->heap;
    uint32_t hole = queue->count++;

    while (hole > 0) {
        uint32_t parent = (hole - 1) / ARITY;

        if (heap[parent].at_ns <= at_ns)
            break;
        heap[hole] = heap[parent];
        hole = parent;
    }
    heap[hole] = (struct due){.at_ns = at_ns, .conn = conn};
}

static uint32_t earliest_child(const struct duequeue *queue, uint32_t first)
{
    uint32_t end = first + ARITY < queue->count ? first + ARITY : queue->count;
    uint32_t best = first;

    for (uint32_t child = first + 1; child < end; child++)
        if (queue->heap[child].at_ns < queue->heap[best].at_ns)
            best = child;
    return best;
}

struct due due_pop(struct duequeue *queue)
{
    struct due *heap = queue->heap;
    struct due top = heap[0];
    struct due last = heap[--queue->count];
    uint32_t hole = 0;

    for (uint32_t first = 1; first < queue->count; first = hole * ARITY + 1) {
        uint32_t child = earliest_child(queue, first);

        if (last.at_ns <= heap[child].at_ns)
            break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = last;
    return top;
}
