/* The heap against sorting: any order in, earliest first out. */
#include "check.h"
#include "timers.h"

#include <stdlib.h>

enum { MANY = 60000 };

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check_sorted_drain(void)
{
    struct timers timers;
    unsigned char *seen = calloc(MANY, 1);
    uint32_t state = 1;
    uint64_t last = 0;

    CHECK(timers_init(&timers, MANY) == 0);
    for (uint32_t i = 0; i < MANY; i++)
        timers_push(&timers, draw(&state) % 5000, i); /* many equal times */
    for (uint32_t i = 0; i < MANY; i++) {
        struct timer timer = timers_pop(&timers);

        CHECK(timer.at_ns >= last);
        CHECK(!seen[timer.conn]);
        seen[timer.conn] = 1;
        last = timer.at_ns;
    }
    CHECK(timers.count == 0);
    timers_free(&timers);
    free(seen);
}

/* As in a test: each popped entry comes back later, the size stays. */
static void check_steady_state(void)
{
    struct timers timers;
    uint32_t state = 7;
    uint64_t last = 0;

    CHECK(timers_init(&timers, 1000) == 0);
    for (uint32_t i = 0; i < 1000; i++)
        timers_push(&timers, draw(&state) % 1000, i);
    for (int round = 0; round < 100000; round++) {
        struct timer timer = timers_pop(&timers);

        CHECK(timer.at_ns >= last);
        last = timer.at_ns;
        timers_push(&timers, timer.at_ns + draw(&state) % 1000, timer.conn);
    }
    CHECK(timers.count == 1000);
    timers_free(&timers);
}

int main(void)
{
    check_sorted_drain();
    check_steady_state();
    return checks_report();
}
