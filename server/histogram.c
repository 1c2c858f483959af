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

void hist_record_falling(struct histogram *hist, uint64_t first_ns, uint64_t step_ns,
                         uint64_t count)
{
    if (count > 0 && first_ns > hist->max_ns)
        hist->max_ns = first_ns;
    while (count > 0) { /* a bucket at a time */
        unsigned index = hist_index(first_ns);
        uint64_t inside = (first_ns - hist_lower_ns(index)) / step_ns + 1;
        uint64_t n = inside < count ? inside : count;
        unsigned __int128 steps = (unsigned __int128)n * (n - 1) / 2;

        hist->counts[index] += n;
        hist->total += n;
        hist->sum_ns += (uint64_t)((unsigned __int128)n * first_ns - steps * step_ns);
        first_ns -= n * step_ns;
        count -= n;
    }
}

uint64_t hist_percentile_ns(const struct histogram *hist, unsigned permille)
{
    uint64_t rank = (uint64_t)(((unsigned __int128)hist->total * permille + 999) / 1000);
    uint64_t seen = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->counts[i];
        if (seen > 0 && seen >= rank)
            return hist_upper_ns(i) < hist->max_ns ? hist_upper_ns(i) : hist->max_ns;
    }
    return 0;
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
