/* command.h - the lines that a control client sends after its request: ready, turn, stop.
 *
 * Bytes to commands, as control.h describes them. No socket, no clock, no state. Threads: any.
 */
#ifndef PYBENCH_COMMAND_H
#define PYBENCH_COMMAND_H

#include "control.h"
#include "failure.h"

#include <stddef.h>
#include <stdint.h>

/* A line that follows a request. */
enum command { COMMAND_NONE, COMMAND_READY, COMMAND_STOP, COMMAND_TURN, COMMAND_UNKNOWN };

/* The first line of the length bytes that a client sent after its request; *used is the number of
 * bytes that it takes, 0 with COMMAND_NONE: it is not whole yet. What is CONTROL_LINE_MAX bytes
 * long and has no end is COMMAND_UNKNOWN. */
enum command command_read(const char *bytes, size_t length, size_t *used);

/* What a `turn` line asks for. */
struct turn {
    uint64_t settle_ns; /* pinging before the window, not counted */
    uint64_t window_ns;
};

/* Parse a line that is a COMMAND_TURN. Returns 0, or -EINVAL with fail filled; *out is untouched
 * then. */
int turn_parse(struct turn *out, const char *bytes, size_t length, struct failure *fail);

#endif
