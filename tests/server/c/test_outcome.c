/* Counters of threads added up: every one of them, and what is derived from the sums. */
#include "check.h"
#include "outcome.h"

enum { COUNTERS = sizeof(struct counters) / sizeof(uint64_t) };

/* A struct counters whose members are first, first + step, first + 2 * step ... */
static struct counters numbered(uint64_t first, uint64_t step)
{
    union {
        struct counters counters;
        uint64_t members[COUNTERS];
    } made;

    for (unsigned i = 0; i < COUNTERS; i++)
        made.members[i] = first + i * step;
    return made.counters;
}

static void check_every_counter(void)
{
    union {
        struct counters counters;
        uint64_t members[COUNTERS];
    } sum = {.counters = {0}};
    const struct counters one = numbered(1, 1), other = numbered(1000, 100);

    CHECK(sizeof sum.members == sizeof sum.counters); /* nothing but uint64_t in it */
    counters_add(&sum.counters, &one);
    counters_add(&sum.counters, &other);
    for (unsigned i = 0; i < COUNTERS; i++)
        CHECK(sum.members[i] == 1001 + 101 * i);
    CHECK(sum.counters.sent == one.sent + other.sent);
    CHECK(sum.counters.lost[LOST_ERROR] == one.lost[LOST_ERROR] + other.lost[LOST_ERROR]);
    CHECK(sum.counters.unsent == one.unsent + other.unsent);
}

/* Two pings of 30 ns, one begun 10 ns before the window, and a third that was out for its last
 * 5 ns: 20 + 30 + 5. */
static void check_in_flight(void)
{
    static struct outcome outcome = {.counters = {.early_ns = 10, .open_ns = 5}};

    hist_record(&outcome.latency, 30);
    hist_record(&outcome.latency, 30);
    CHECK(outcome_in_flight_ns(&outcome) == 55);
}

int main(void)
{
    check_every_counter();
    check_in_flight();
    return checks_report();
}
