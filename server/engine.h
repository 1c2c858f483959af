/* engine.h - the ways of moving a test's bytes; one struct per way, chosen by name in the request.
 *
 * Threads: unavailable runs in the session's thread, the others in the ping thread that the pinger
 * belongs to, in whose table of descriptors the connections are.
 */
#ifndef PYBENCH_ENGINE_H
#define PYBENCH_ENGINE_H

#include "pinger.h"

struct engine {
    const char *name;

    /* Why this build or this kernel cannot run the engine, with the remedy; NULL when it can. */
    const char *(*unavailable)(void);

    bool kernel_times; /* whether it can ask the kernel when an echo arrived */
    bool tls;          /* whether it can ping on connections over TLS */

    /* Make what the loop needs and register every connection. Returns 0 or a negative errno
     * (-ENOSYS: this kernel cannot); close is right after either. */
    int (*open)(struct pinger *pinger);

    /* Ping until the plan says stop, or no connection is left. Called once for each turn, always in
     * the same thread; what comes between two turns is found by the next. Returns 0, or a negative
     * errno when the loop itself failed, *call (static) naming what: nothing of the test is worth
     * anything. */
    int (*run)(struct pinger *pinger, const char **call);

    void (*close)(struct pinger *pinger);
};

/* The engine of that name, whether or not it is available; NULL when there is none. */
const struct engine *engine_find(const char *name);

extern const struct engine engine_epoll; /* engine_epoll.c */
extern const struct engine engine_uring; /* engine_uring.c */
extern const struct engine engine_null;  /* engine_null.c */

#endif
