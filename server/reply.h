/* reply.h - what the server says to a control client: outcomes and failures to bytes.
 *
 * Whole lines of version 2, and the one text of version 1; control.h has the text of both. talk.c
 * and clients.c send them. No socket, no clock, no state. Threads: any.
 */
#ifndef PYBENCH_REPLY_H
#define PYBENCH_REPLY_H

#include "failure.h"
#include "outcome.h"
#include "request.h"

#include <stddef.h>
#include <stdint.h>

/* What the server sends, and whoever has it frees. */
struct reply {
    char *text;    /* malloc'ed; NULL: memory ran out */
    size_t length; /* bytes, without the zero byte behind them */
};

struct reply reply_connected(uint32_t conns, uint64_t elapsed_ns);
struct reply reply_mark(uint64_t since_ns);
struct reply reply_progress(uint64_t since_ns, uint64_t messages, uint64_t alive);
struct reply reply_turned(const struct turn_outcome *outcome);
struct reply reply_busy(void);
struct reply reply_result(const struct request *request, const struct outcome *outcome);
struct reply reply_error(const struct failure *fail);

/* As reply_error, in the format of a request's version: to version 1 it is an empty result. */
struct reply reply_refusal(int version, const struct failure *fail);

#endif
