/* Buckets, sums, merging. With a file argument also checks the golden buckets that the
 * Python half of the rule is checked with: lines `value lower upper`. */
#include "check.h"
#include "histogram.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void check_every_bucket(void)
{
    uint64_t next = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        uint64_t low = hist_lower_ns(i), high = hist_upper_ns(i);

        CHECK(low == next); /* no gap, no overlap */
        CHECK(hist_index(low) == i);
        CHECK(hist_index(high) == i);
        CHECK((high - low + 1) * 64 <= (low < 64 ? 64 : low)); /* at most 1/64 wide */
        next = high + 1;
    }
    CHECK(next == UINT64_C(1) << HIST_TOP_BITS);
    CHECK(hist_index(next) == HIST_BUCKETS - 1); /* beyond the range: the last bucket */
    CHECK(hist_index(UINT64_MAX) == HIST_BUCKETS - 1);
    CHECK(next > UINT64_C(1000000000000)); /* reaches 1000 s */
}

static void check_sums(void)
{
    static struct histogram hist, other;
    unsigned value = 0;

    while (value < 100)
        hist_record(&hist, ++value);
    CHECK(hist.total == 100 && hist.sum_ns == 5050 && hist.max_ns == 100);
    hist_record(&other, 50);
    hist_record(&other, 1000003);
    hist_merge(&hist, &other);
    CHECK(hist.total == 102);
    CHECK(hist.sum_ns == 5050 + 50 + 1000003);
    CHECK(hist.max_ns == 1000003);
    CHECK(hist.counts[hist_index(50)] == 2);
    CHECK(hist.counts[hist_index(1000003)] == 1);
    hist_merge(&other, &hist);
    CHECK(other.max_ns == 1000003 && other.total == 104);
}

static void check_falling(uint64_t first, uint64_t step, uint64_t count)
{
    static struct histogram at_once, one_by_one;

    at_once = one_by_one = (struct histogram){0};
    hist_record_falling(&at_once, first, step, count);
    for (uint64_t i = 0; i < count; i++)
        hist_record(&one_by_one, first - i * step);
    CHECK(memcmp(&at_once, &one_by_one, sizeof at_once) == 0);
}

static void check_percentiles(void)
{
    static struct histogram hist;

    CHECK(hist_percentile_ns(&hist, 500) == 0);
    for (uint64_t value = 1; value <= 100; value++)
        hist_record(&hist, value);
    CHECK(hist_percentile_ns(&hist, 500) == 50);
    CHECK(hist_percentile_ns(&hist, 990) == 99);
    CHECK(hist_percentile_ns(&hist, 999) == 100);
    hist_record(&hist, 1000003);
    CHECK(hist_percentile_ns(&hist, 999) == 1000003); /* not the bucket's upper edge */
}

static void check_golden(const char *path)
{
    FILE *file = fopen(path, "r");
    uint64_t value, low, high;
    int lines = 0;

    CHECK(file != NULL);
    if (!file)
        return;
    while (fscanf(file, "%" SCNu64 "%" SCNu64 "%" SCNu64, &value, &low, &high) == 3) {
        CHECK(hist_lower_ns(hist_index(value)) == low);
        CHECK(hist_upper_ns(hist_index(value)) == high);
        lines++;
    }
    CHECK(lines > 20 && feof(file));
    fclose(file);
}

int main(int argc, char **argv)
{
    check_every_bucket();
    check_sums();
    check_falling(1000, 7, 0);
    check_falling(1000, 7, 143); /* down to 6 */
    check_falling(1999000000, 1000000, 1999);
    check_falling(5000, 1, 5001); /* down to 0 */
    check_percentiles();
    if (argc > 1)
        check_golden(argv[1]);
    return checks_report();
}
