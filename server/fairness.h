/* fairness.h - how evenly the messages of a test spread over its connections.
 *
 * Computed once, after the ping threads have ended; no I/O.
 */
#ifndef PYBENCH_FAIRNESS_H
#define PYBENCH_FAIRNESS_H

#include <stdint.h>

enum { FAIRNESS_PERCENTILES = 19 }; /* 5, 10, ... 95% */

struct fairness {
    uint64_t min, max; /* messages per connection */
    uint64_t percentiles[FAIRNESS_PERCENTILES];
    uint64_t starved; /* connections with no message at all */
    double jain;      /* Jain's index, (sum x)**2 / (n * sum x**2): 1 is perfectly even, 1/n is one
                         connection served alone; 1 when nobody got anything */
};

/* Describe counts[0..n), messages per connection, n >= 1. Sorts counts in place.
 * Source of the index: Jain, Chiu, Hawe, DEC-TR-301 (1984). */
struct fairness fairness_of(uint64_t *counts, uint32_t n);

#endif
