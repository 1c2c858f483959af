/* histogram.h - log-linear histogram of durations in nanoseconds.
 *
 * Bucket rule (part of the result format, shared with pybench/analysis/stats.py): a value below 64
 * ns has a bucket of its own; above, each octave [2**e, 2**(e+1)) is cut into 64 buckets of
 * 2**(e-6) ns, so a bucket is at most 1/64 of its lower edge wide. Values from 2**40 ns (1100 s) on
 * fall into the last bucket; the maximum and the sum stay exact.
 *
 * Recording is inline, allocates nothing and takes no lock: one histogram belongs to one thread,
 * and is merged when that thread has ended. No I/O here.
 */
#ifndef PYBENCH_HISTOGRAM_H
#define PYBENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HIST_SUB_BITS = 6,  /* 64 buckets an octave */
    HIST_TOP_BITS = 40, /* values of this many bits or more share the last bucket */
    HIST_BUCKETS = (HIST_TOP_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS,
};

struct histogram {
    uint64_t total;  /* samples */
    uint64_t sum_ns; /* of all samples, exact: wraps after 584 years of waiting */
    uint64_t max_ns; /* largest sample, exact; 0 when empty */
    uint64_t counts[HIST_BUCKETS];
};

/* Bucket of a value: 0 <= result < HIST_BUCKETS. */
static inline unsigned hist_index(uint64_t value_ns)
{
    unsigned shift;

    if (value_ns < (UINT64_C(2) << HIST_SUB_BITS))
        return (unsigned)value_ns;
    if (value_ns >> HIST_TOP_BITS)
        return HIST_BUCKETS - 1;
    shift = 63u - (unsigned)__builtin_clzll(value_ns) - HIST_SUB_BITS;
    return (shift << HIST_SUB_BITS) + (unsigned)(value_ns >> shift);
}

static inline void hist_record(struct histogram *hist, uint64_t value_ns)
{
    hist->counts[hist_index(value_ns)]++;
    hist->total++;
    hist->sum_ns += value_ns;
    if (value_ns > hist->max_ns)
        hist->max_ns = value_ns;
}

/* Record count values of a falling sequence: first_ns, first_ns - step_ns, and so on, none below 0.
 */
void hist_record_falling(struct histogram *hist, uint64_t first_ns, uint64_t step_ns,
                         uint64_t count);

/* Upper edge of the bucket that holds the sample of rank ceil(total * permille / 1000), but no more
 * than the maximum; 0 when the histogram is empty. */
uint64_t hist_percentile_ns(const struct histogram *hist, unsigned permille);

/* Smallest value of a bucket, ns; index < HIST_BUCKETS. */
uint64_t hist_lower_ns(unsigned index);

/* Largest value of a bucket, ns; index < HIST_BUCKETS. */
uint64_t hist_upper_ns(unsigned index);

/* Add all samples of from to into. */
void hist_merge(struct histogram *into, const struct histogram *from);

#endif
