/* talk.c - see talk.h. */
#define _GNU_SOURCE
#include "talk.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const uint64_t REPLY_NS = 5 * NS_PER_S;

/* Wait until the client takes more of a reply. Returns whether it does: not when it does not read
 * until until_ns, nor when the server is told to end. */
static bool await_room(const struct talk *talk, uint64_t until_ns)
{
    struct pollfd fds[] = {
        {.fd = talk->fd, .events = POLLOUT},
        {.fd = talk->stop_fd, .events = POLLIN},
    };
    uint64_t now = clock_now_ns();
    struct timespec left = clock_until(until_ns, now);

    if (now >= until_ns)
        return false;
    if (ppoll(fds, 2, &left, NULL) < 0)
        return errno == EINTR;
    return fds[0].revents != 0;
}

int talk_send(struct talk *talk, struct reply reply)
{
    uint64_t until_ns = clock_now_ns() + REPLY_NS;
    size_t sent = 0;

    while (reply.text && sent < reply.length) {
        ssize_t n =
            send(talk->fd, reply.text + sent, reply.length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR && (errno != EAGAIN || !await_room(talk, until_ns)))
            break;
    }
    free(reply.text);
    return reply.text && sent == reply.length ? 0 : -ECANCELED;
}

void talk_drop(struct talk *talk, size_t used)
{
    talk->length -= used;
    memmove(talk->input, talk->input + used, talk->length);
}

enum command talk_next(struct talk *talk)
{
    size_t used;
    enum command command = command_read(talk->input, talk->length, &used);

    talk_drop(talk, used);
    return command;
}

/* Read what the client sent. Returns 0, or -ECANCELED when it is gone. */
static int read_input(struct talk *talk)
{
    size_t room = sizeof talk->input - talk->length;
    ssize_t n;

    if (room == 0)
        return 0; /* the lines that are there come first */
    n = recv(talk->fd, talk->input + talk->length, room, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return -ECANCELED;
    if (n > 0 && !talk->deaf)
        talk->length += (size_t)n;
    return 0;
}

int talk_await(struct talk *talk, uint64_t then_ns, int extra_fd, bool *extra)
{
    struct pollfd fds[] = {
        {.fd = talk->stop_fd, .events = POLLIN},
        {.fd = talk->fd, .events = POLLIN | POLLRDHUP},
        {.fd = extra_fd, .events = POLLIN},
    };
    bool has_line = memchr(talk->input, '\n', talk->length) != NULL;
    struct timespec left = clock_until(has_line ? 0 : then_ns, clock_now_ns());

    if (ppoll(fds, 3, &left, NULL) < 0)
        return errno == EINTR ? 0 : -ECANCELED;
    if (fds[0].revents)
        return -ECANCELED;
    if (extra)
        *extra = fds[2].revents != 0;
    return fds[1].revents ? read_input(talk) : 0;
}

int talk_unexpected(struct failure *fail, const char *expected)
{
    return failure_set(fail, "bad_request", EINVAL, "expected a line %s", expected);
}
