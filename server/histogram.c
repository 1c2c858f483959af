/* histogram.c - edges and merging; see histogram.h for the bucket rule.
 *
 * Place: session.c merges the threads' histograms here once they have ended. Not on the hot path.
 */
#include "histogram.h"

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
