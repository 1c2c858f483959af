/* Gaps of a Poisson process: their distribution, and that streams have nothing in common. */
#include "arrivals.h"
#include "check.h"

#include <math.h>

enum { MANY = 200000, MEAN_NS = 1000000 };

/* The share of gaps above x means is exp(-x); 5 standard deviations of that estimate. */
static void check_distribution(void)
{
    static const double ABOVE[] = {0.01, 0.1, 0.5, 1, 2, 4, 8};
    uint64_t stream = arrivals_stream(1, 0);
    double sum = 0, squares = 0;

    for (unsigned i = 0; i < sizeof ABOVE / sizeof *ABOVE; i++) {
        double expected = exp(-ABOVE[i]);
        unsigned above = 0;

        for (uint32_t n = 0; n < MANY; n++)
            above += (double)arrivals_gap_ns(stream, n, MEAN_NS) > ABOVE[i] * MEAN_NS;
        CHECK(fabs((double)above / MANY - expected) < 5 * sqrt(expected * (1 - expected) / MANY));
    }
    for (uint32_t n = 0; n < MANY; n++) {
        double gap = (double)arrivals_gap_ns(stream, n, MEAN_NS) / MEAN_NS;

        sum += gap;
        squares += gap * gap;
    }
    CHECK(fabs(sum / MANY - 1) < 0.012);
    CHECK(fabs(squares / MANY - 2) < 0.05);
}

/* Of the connections of a test, and of two tests: the first gaps, which a short test consists of,
 * are as random as those of one connection. */
static void check_streams(void)
{
    double sum = 0, products = 0;
    uint64_t last = 0;
    unsigned equal = 0; /* by chance: 0.1 */

    for (uint32_t id = 0; id < MANY; id++) {
        uint64_t gap = arrivals_gap_ns(arrivals_stream(7, id), 1, MEAN_NS);

        equal += gap == arrivals_gap_ns(arrivals_stream(8, id), 1, MEAN_NS);
        sum += (double)gap / MEAN_NS;
        products += (double)gap * (double)last / MEAN_NS / MEAN_NS;
        last = gap;
    }
    CHECK(fabs(sum / MANY - 1) < 0.012);
    CHECK(equal <= 5);
    CHECK(fabs(products / MANY - 1) < 0.03); /* E(XY) = E(X) E(Y) */
}

static void check_extremes(void)
{
    for (uint32_t n = 0; n < MANY; n++) {
        CHECK(arrivals_gap_ns(3, n, 1) >= 1);
        CHECK(arrivals_gap_ns(3, n, UINT64_C(1) << 50) < 37 * (UINT64_C(1) << 50));
    }
}

int main(void)
{
    check_distribution();
    check_streams();
    check_extremes();
    return checks_report();
}
