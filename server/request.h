/* request.h - what a control client asks for: the bytes of its request to a struct request.
 *
 * Both versions of the protocol; control.h has the text of it. A request that is taken is right by
 * itself; whether this client may have it permission.c finds out, and whether this server can do
 * it, session.c. No socket, no clock, no state. Threads: any.
 */
#ifndef PYBENCH_REQUEST_H
#define PYBENCH_REQUEST_H

#include "address.h"
#include "control.h"
#include "failure.h"
#include "transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request {
    int version;                 /* 2 or 1 */
    struct address_list targets; /* one or more; connection i goes to the one of number i modulo
                                    their count, from 0 */
    uint32_t conns;
    uint32_t msize;
    uint32_t inflight; /* pings on each connection, >= 1 */
    uint32_t idle;     /* further connections, never pinged */
    uint64_t warmup_ns;
    uint64_t runtime_ns;
    uint64_t think_min_ns;
    uint64_t think_max_ns; /* 0: no thinking */
    uint64_t rate;         /* pings per second over all connections; 0: closed loop */
    bool poisson;          /* they arrive at random times; else evenly */
    uint64_t seed;         /* of these times */
    uint64_t busy_poll_ns; /* look for echoes that long before sleeping; 0: sleep at once */
    uint64_t slice_ns;     /* the window is cut into pieces of this length; 0: it is not */
    bool kernel_times;     /* ask the kernel when each echo arrived */
    bool turns;            /* pings in turns, each with its own times: none of the above */
    unsigned threads;      /* 0: as the server was told */
    char engine[16];       /* empty: the default */
    char token[CONTROL_TOKEN_MAX + 1];
    /* whether the connections are over TLS, and what certificate it must meet then */
    bool tls;
    uint8_t pin[TLS_PIN_BYTES];
};

/* What a client has sent so far. */
enum request_shape {
    REQUEST_PARTIAL, /* may become a request: read on */
    REQUEST_WHOLE,   /* a request, or something that never will be one: parse it */
};

/* Look at the first length bytes that a client sent (length > 0). On REQUEST_WHOLE *used is the
 * number of bytes that belong to the request; what lies behind is the client's next line. */
enum request_shape request_shape(const char *bytes, size_t length, size_t *used);

/* The version of a request, 2 of one that is no request at all: its failures are answered so. */
int request_version(const char *bytes, size_t length);

/* Whether a request asks for turns; not one that is no request at all. */
bool request_takes_turns(const char *bytes, size_t length);

/* Parse a whole request. Returns 0, or -EINVAL with fail filled; *out is untouched then. */
int request_parse(struct request *out, const char *bytes, size_t length, struct failure *fail);

#endif
