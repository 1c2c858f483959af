/* The heap against sorting: any order in, earliest first out. */
#include "check.h"
#include "duequeue.h"

#include <stdlib.h>

enum { MANY = 60000 };

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check_sorted_drain(void)
{
    struct duequeue queue;
    unsigned char *seen = calloc(MANY, 1);
    uint32_t state = 1;
    uint64_t last = 0;

    CHECK(due_init(&queue, MANY) == 0);
    for (uint32_t i = 0; i < MANY; i++)
        due_push(&queue, draw(&state) % 5000, i); /* many equal times */
    for (uint32_t i = 0; i < MANY; i++) {
        struct due due = due_pop(&queue);

        CHECK(due.at_ns >= last);
        CHECK(!seen[due.conn]);
        seen[due.conn] = 1;
        last = due.at_ns;
    }
    CHECK(queue.count == 0);
    due_free(&queue);
    free(seen);
}

/* As in a test: each popped entry comes back later, the size stays. */
static void check_steady_state(void)
{
    struct duequeue queue;
    uint32_t state = 7;
    uint64_t last = 0;

    CHECK(due_init(&queue, 1000) == 0);
    for (uint32_t i = 0; i < 1000; i++)
        due_push(&queue, draw(&state) % 1000, i);
    for (int round = 0; round < 100000; round++) {
        struct due due = due_pop(&queue);

        CHECK(due.at_ns >= last);
        last = due.at_ns;
        due_push(&queue, due.at_ns + draw(&state) % 1000, due.conn);
    }
    CHECK(queue.count == 1000);
    due_free(&queue);
}

int main(void)
{
    check_sorted_drain();
    check_steady_state();
    return checks_report();
}
