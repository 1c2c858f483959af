/* talk.h - what a session says to its control client, and hears: replies out, lines in.
 *
 * Place: reply.c makes the replies, command.c reads the lines; here they are sent and waited for.
 * Threads: the session's. Nothing blocks without a bound, nor when the server is told to end.
 */
#ifndef PYBENCH_TALK_H
#define PYBENCH_TALK_H

#include "command.h"
#include "control.h"
#include "failure.h"
#include "reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One control connection. */
struct talk {
    int fd;        /* borrowed: whoever started the session closes it */
    int stop_fd;   /* borrowed; readable: the server is going down */
    bool deaf;     /* what the client sends is ignored: its version has nothing more to say */
    size_t length; /* bytes of input that are not used yet */
    char input[CONTROL_LINE_MAX];
};

/* Send a reply of reply.c and free it. Returns 0, or -ECANCELED when the client is gone, or has
 * not read all of it within 5 s, or there was no memory for it. */
int talk_send(struct talk *talk, struct reply reply);

/* Forget the first used bytes of the input. */
void talk_drop(struct talk *talk, size_t used);

/* Take the next whole line out of the input. */
enum command talk_next(struct talk *talk);

/* Wait until then_ns for the client, the server's end, or extra_fd (-1: none); not at all when a
 * line is there already: several may come in one segment. Sets *extra (NULL: nobody asks) when
 * extra_fd is readable. Returns 0, or -ECANCELED when the client is gone or the server stops. */
int talk_await(struct talk *talk, uint64_t then_ns, int extra_fd, bool *extra);

/* Fill fail: a line came that is none of those expected here. Returns -EINVAL. */
int talk_unexpected(struct failure *fail, const char *expected);

#endif
