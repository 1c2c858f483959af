/* arrivals.h - the gaps of an open loop whose pings arrive at random: a Poisson process each
 * connection, and so one over all of them.
 *
 * Nothing is kept: a gap is a function of what it is the gap of, so that a schedule can be read
 * ahead (what was due and never sent is counted) and does not depend on how connections are dealt
 * out to threads. Pure functions; any thread.
 */
#ifndef PYBENCH_ARRIVALS_H
#define PYBENCH_ARRIVALS_H

#include <stdint.h>

/* What one connection's gaps are drawn from; seed: of the test, id: of the connection in it. */
uint64_t arrivals_stream(uint64_t seed, uint32_t id);

/* The gap before ping number of a stream, in ns: exponential, of the mean given (at most 2**53),
 * never less than 1 and never more than 37 means, which is the rarest that 53 bits can draw. */
uint64_t arrivals_gap_ns(uint64_t stream, uint64_t number, uint64_t mean_ns);

#endif
