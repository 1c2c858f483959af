/* engine.h - the ways of moving a test's bytes; one struct per way, chosen by name in the request.
 *
 * Threads: open and close run in the session's thread, run in the ping thread that the pinger
 * belongs to.
 */
#ifndef PYBENCH_ENGINE_H
#define PYBENCH_ENGINE_H

#include "pinger.h"

struct engine {
    const char *name;

    /* Make what the loop needs and register every connection. Returns 0 or a negative errno
     * (-ENOSYS: this kernel cannot); close is right after either. */
    int (*open)(struct pinger *pinger);

    /* Ping until the plan says stop, or no connection is left. */
    void (*run)(struct pinger *pinger);

    void (*close)(struct pinger *pinger);
};

extern const struct engine engine_epoll; /* pingloop.c */

#endif
