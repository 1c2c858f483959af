/* bare.h - what the bare programs have in common: arguments, failing, a listener, connections.
 *
 * The four bare programs are bounds to compare with: each does the system calls of its kind and
 * nothing else. No features, no statistics, no check but that a message came whole; whatever goes
 * wrong ends the program with a line on stderr. tests/bench/limits.py compiles and pairs them.
 *
 * Nothing in this file runs while messages go round, but for the clock.
 */
#ifndef PYBENCH_BARE_H
#define PYBENCH_BARE_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { MESSAGE = 64 }; /* bytes */

/* End with the name of the call and its error. */
static _Noreturn inline void fail(const char *call, int err)
{
    fprintf(stderr, "%s: %s\n", call, strerror(err));
    exit(1);
}

/* Pass on what a call returned; end when it is negative, with errno as the reason. */
static inline int checked(int result, const char *call)
{
    if (result < 0)
        fail(call, errno);
    return result;
}

static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The index-th argument as a number; ends with the usage when there is none. */
static inline double argument(int argc, char **argv, int index, const char *usage)
{
    if (index >= argc) {
        fprintf(stderr, "usage: %s %s\n", argv[0], usage);
        exit(2);
    }
    return atof(argv[index]);
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* Without it the kernel would hold a message back until the one before is acknowledged. */
static inline void send_at_once(int fd)
{
    int one = 1;

    checked(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "setsockopt");
}

/* Accept count connections on 127.0.0.1:port. The result is the caller's to free. */
static inline int *accept_all(int port, int count)
{
    struct sockaddr_in here = loopback(port);
    int *fds = calloc((size_t)count, sizeof *fds);
    int listener = checked(socket(AF_INET, SOCK_STREAM, 0), "socket");
    int one = 1;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    checked(bind(listener, (struct sockaddr *)&here, sizeof here), "bind");
    checked(listen(listener, 4096), "listen");
    for (int i = 0; i < count; i++) {
        fds[i] = checked(accept(listener, NULL, NULL), "accept");
        send_at_once(fds[i]);
    }
    return fds;
}

/* Open count connections to 127.0.0.1:port. The result is the caller's to free. */
static inline int *connect_all(int port, int count)
{
    struct sockaddr_in there = loopback(port);
    int *fds = calloc((size_t)count, sizeof *fds);

    for (int i = 0; i < count; i++) {
        fds[i] = checked(socket(AF_INET, SOCK_STREAM, 0), "socket");
        checked(connect(fds[i], (struct sockaddr *)&there, sizeof there), "connect");
        send_at_once(fds[i]);
    }
    return fds;
}

/* What a generator counts: whole batches, from the first that begins after the warm-up to the last
 * that begins before the end. */
struct window {
    uint64_t begin_ns, end_ns; /* as planned */
    uint64_t first_ns;         /* when the first batch began that counts, 0: none yet */
    uint64_t first_cpu_ns;     /* CPU time of this process until then */
    uint64_t messages;
};

static inline uint64_t cpu_now_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static inline struct window window_from_now(double warmup_s, double runtime_s)
{
    uint64_t begin_ns = now_ns() + (uint64_t)(warmup_s * 1e9);

    return (struct window){.begin_ns = begin_ns, .end_ns = begin_ns + (uint64_t)(runtime_s * 1e9)};
}

/* A batch of messages came in; it began at batch_ns. */
static inline void window_count(struct window *window, uint64_t batch_ns, unsigned messages)
{
    if (batch_ns < window->begin_ns)
        return;
    if (window->first_ns == 0) {
        window->first_ns = batch_ns;
        window->first_cpu_ns = cpu_now_ns();
    }
    window->messages += messages;
}

/* Print messages per second and CPU time per message; last_ns is when the last batch ended. */
static inline void window_print(const struct window *window, uint64_t last_ns)
{
    double messages = (double)window->messages;

    if (messages > 0)
        printf("mps %.0f cpu_ns %.0f\n", messages * 1e9 / (double)(last_ns - window->first_ns),
               (double)(cpu_now_ns() - window->first_cpu_ns) / messages);
    else
        puts("mps 0 cpu_ns 0"); /* on a machine so busy that no batch began in the window */
}

#endif
