/* control.h - the control protocol, versions 2 and 1: bytes to requests, outcomes to bytes.
 *
 * The only file that knows the wire format. It owns no socket, reads no clock and keeps no state:
 * callers hand it a buffer and send what it writes. Threads: any.
 *
 * Version 2 is lines of a verb and key=value words. Version 1 is the 2016 experiment's: one
 * unterminated segment of seven words, answered by one unterminated text.
 */
#ifndef PYBENCH_CONTROL_H
#define PYBENCH_CONTROL_H

#include "address.h"
#include "failure.h"
#include "outcome.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONTROL_LINE_MAX = 4096, /* bytes of a line, newline included */
    CONTROL_V1_MAX = 1024,   /* bytes of a version 1 request */
    CONTROL_TOKEN_MAX = 256,
    CONTROL_MSIZE_MAX = 1 << 20,
    CONTROL_THREADS_MAX = 64,
};

struct request {
    int version; /* 2 or 1 */
    struct address target;
    uint32_t conns;
    uint32_t msize;
    uint64_t warmup_ns;
    uint64_t runtime_ns;
    uint64_t think_min_ns;
    uint64_t think_max_ns; /* 0: no thinking */
    uint64_t rate;         /* pings per second over all connections; 0: closed loop */
    uint64_t busy_poll_ns; /* look for echoes that long before sleeping; 0: sleep at once */
    bool kernel_times;     /* ask the kernel when each echo arrived */
    unsigned threads;      /* 0: as the server was told */
    char engine[16];       /* empty: the default */
    char token[CONTROL_TOKEN_MAX + 1];
};

/* What a client has sent so far. */
enum control_shape {
    CONTROL_PARTIAL, /* may become a request: read on */
    CONTROL_WHOLE,   /* a request, or something that never will be one: parse it */
};

/* Look at the first length bytes that a client sent (length > 0). On CONTROL_WHOLE *used is the
 * number of bytes that belong to the request; what lies behind is the client's next line. */
enum control_shape control_shape(const char *bytes, size_t length, size_t *used);

/* Parse a whole request. Returns 0, or -EINVAL with fail filled; *out is untouched then. */
int control_parse(struct request *out, const char *bytes, size_t length, struct failure *fail);

/* Each of these returns a malloc'ed reply, its length in *length, or NULL when memory ran out. */
char *control_connected(size_t *length, uint32_t conns, uint64_t elapsed_ns);
char *control_progress(size_t *length, uint64_t since_ns, uint64_t messages, uint64_t alive);
char *control_result(size_t *length, const struct request *request, const struct outcome *outcome);
char *control_error(size_t *length, const struct failure *fail);

#endif
