/* clock.h - the one clock: monotonic nanoseconds.
 *
 * Every time in the server is a uint64_t of CLOCK_MONOTONIC nanoseconds; differences never wrap.
 * CPU times alone are of other clocks.
 * Threads: any.
 */
#ifndef PYBENCH_CLOCK_H
#define PYBENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* no system call where the clocksource has a vDSO */
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* CPU time of the calling thread so far. A system call. */
static inline uint64_t clock_thread_cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

/* Time from now to then, 0 when then has passed. */
static inline struct timespec clock_until(uint64_t then_ns, uint64_t now_ns)
{
    uint64_t left_ns = then_ns > now_ns ? then_ns - now_ns : 0;

    return (struct timespec){
        .tv_sec = (time_t)(left_ns / NS_PER_S),
        .tv_nsec = (long)(left_ns % NS_PER_S),
    };
}

#endif
