/* arrivals.c - see arrivals.h. */
#include "arrivals.h"

#include <math.h>

/* The output function of splitmix64, Steele, Lea, Flood, OOPSLA 2014. */
static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t arrivals_stream(uint64_t seed, uint32_t id)
{
    return mixed(mixed(seed + 1) + id + 1); /* mixed(0) is 0 */
}

uint64_t arrivals_gap_ns(uint64_t stream, uint64_t number, uint64_t mean_ns)
{
    /* its state after that many steps, without taking them */
    uint64_t bits = mixed(stream + number * UINT64_C(0x9e3779b97f4a7c15)) >> 11;
    double uniform = ((double)bits + 0.5) * 0x1p-53; /* in (0, 1): its logarithm is finite */
    double gap_ns = -log(uniform) * (double)mean_ns;

    return gap_ns < 1 ? 1 : (uint64_t)gap_ns;
}
