/* fairness.c - see fairness.h. */
#include "fairness.h"

#include <stdlib.h>

static int by_value(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

struct fairness fairness_of(uint64_t *counts, uint32_t n)
{
    struct fairness f = {.jain = 1.0};
    double sum = 0, squares = 0;

    qsort(counts, n, sizeof *counts, by_value);
    f.min = counts[0];
    f.max = counts[n - 1];
    for (unsigned i = 0; i < FAIRNESS_PERCENTILES; i++) {
        uint64_t rank = ((uint64_t)n * (i + 1) * 5 + 99) / 100; /* nearest rank, from 1 */

        f.percentiles[i] = counts[rank - 1];
    }
    for (uint32_t i = 0; i < n; i++) {
        f.starved += counts[i] == 0;
        sum += (double)counts[i];
        squares += (double)counts[i] * (double)counts[i];
    }
    if (squares > 0)
        f.jain = sum * sum / (n * squares);
    return f;
}
