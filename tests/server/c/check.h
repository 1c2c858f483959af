/* check.h - the least a C unit test needs: CHECK that says where and what, and a count. */
#ifndef PYBENCH_CHECK_H
#define PYBENCH_CHECK_H

#include <stdio.h>

static int checks_made, checks_failed;

#define CHECK(condition)                                           \
    do {                                                           \
        checks_made++;                                             \
        if (!(condition)) {                                        \
            checks_failed++;                                       \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        }                                                          \
    } while (0)

static inline int checks_report(void)
{
    printf("%d checks, %d failed\n", checks_made, checks_failed);
    return checks_failed > 0 || checks_made == 0;
}

#endif
