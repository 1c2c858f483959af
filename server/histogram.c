/* histogram.c - edges, merging and percentiles; see histogram.h for the bucket rule.
 *
 * Place: session.c merges the threads' histograms here once they have ended. Not on the hot path.
 */
#include "histogram.h"

#include <math.h>

static unsigned bucket_shift(unsigned index)
{
    unsigned octave = index >> HIST_SUB_BITS;

    return octave > 1 ? octave - 1 : 0;
}

uint64_t hist_lower_ns(unsigned index)
{
    unsigned shift = bucket_shift(index);

    return (uint64_t)(index - (shift << HIST_SUB_BITS)) << shift;
}

uint64_t hist_upper_ns(unsigned index)
{
    return hist_lower_ns(index) + (UINT64_C(1) << bucket_shift(index)) - 1;
}

void hist_merge(struct histogram *into, const struct histogram *from)
{
    into->total += from->total;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->counts[i] += from->counts[i];
}

uint64_t hist_percentile_ns(const struct histogram *hist, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)hist->total);
    uint64_t seen = 0;

    if (hist->total == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen >= rank)
            return hist_upper_ns(i) < hist->max_ns ? hist_upper_ns(i) : hist->max_ns;
    }
    return hist->max_ns;
}
