/* files.c - see files.h. */
#define _GNU_SOURCE
#include "files.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPARE_FILES = 64, /* listener, control clients, engines and what wakes threads */
    FIRST_FILE = 3,   /* below are the standard streams */
};

#ifndef CLOSE_RANGE_UNSHARE
enum { CLOSE_RANGE_UNSHARE = 1 << 1 };
#endif

uint32_t files_room(void)
{
    struct rlimit limit;
    rlim_t files = INT_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < files)
        files = limit.rlim_cur;
    files = files > 2 * SPARE_FILES ? files - SPARE_FILES : files / 2;
    return files > 0 ? (uint32_t)files : 1;
}

uint32_t files_tables(uint32_t conns)
{
    uint32_t room = files_room();

    return conns / room + (conns % room != 0);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int table_close(unsigned first, unsigned last, unsigned flags)
{
    return first <= last ? (int)syscall(SYS_close_range, first, last, flags) : 0;
}

bool files_own(int *kept, uint32_t count)
{
    unsigned first = FIRST_FILE;

    qsort(kept, count, sizeof *kept, compare);
    /* Containers forbid unshare() more often than this, which does not copy what it closes. Before
     * Linux 5.9 there is no such call, and the copies stay until the thread ends. */
    if (table_close(count ? (unsigned)kept[count - 1] + 1 : first, UINT_MAX, CLOSE_RANGE_UNSHARE) <
            0 &&
        unshare(CLONE_FILES) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if ((unsigned)kept[i] > first)
            table_close(first, (unsigned)kept[i] - 1, 0);
        if ((unsigned)kept[i] >= first)
            first = (unsigned)kept[i] + 1;
    }
    return true;
}
