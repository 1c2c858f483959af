/* lobby.h - control clients that are not being served: those that have not yet sent their whole
 * request, those that have and wait a moment for their turn, and those that have their answer and
 * are about to leave.
 *
 * Keeps an idle or slow client from holding up the others, and an answer from being lost to a
 * connection that is closed while the client still writes. Belongs to the main thread; never
 * blocks.
 */
#ifndef PYBENCH_LOBBY_H
#define PYBENCH_LOBBY_H

#include "control.h"
#include "failure.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOBBY_MAX = 32 };

enum guest_state {
    GUEST_TALKING, /* its request is not whole yet */
    GUEST_WAITING, /* its request is whole: it is served, or refused when its deadline comes */
    GUEST_LEAVING, /* answered: only its end is awaited */
};

struct guest {
    int fd;
    enum guest_state state;
    uint64_t deadline_ns;
    size_t length;
    char input[CONTROL_LINE_MAX];
};

struct lobby {
    unsigned count;
    struct guest guests[LOBBY_MAX];
};

/* Take in a freshly accepted connection; when the lobby is full the one nearest its deadline goes.
 */
void lobby_enter(struct lobby *lobby, int fd);

/* Take in a connection that has had its answer; it is closed when the client closes, or soon. */
void lobby_leave(struct lobby *lobby, int fd);

/* Answer with an error and see the guest out. */
void lobby_refuse(struct lobby *lobby, unsigned index, const struct failure *fail);

/* Fill fds[0..count) to poll for, guest by guest. Returns the count. */
unsigned lobby_poll(const struct lobby *lobby, struct pollfd *fds);

/* Milliseconds until the next guest has overstayed, -1 when there is none. */
int lobby_timeout_ms(const struct lobby *lobby, uint64_t now_ns);

/* Read from a guest that polled ready. When its request is whole it begins to wait, for as long as
 * a test that is just ending takes to end: so that whoever saw the end of one is not refused the
 * next. A guest that has gone is marked with fd -1 until lobby_tidy. */
void lobby_read(struct lobby *lobby, unsigned index);

/* Index of a guest that waits, -1 when there is none. */
int lobby_waiting(const struct lobby *lobby);

/* Let the guest go without closing its connection: it is the caller's now. */
int lobby_release(struct lobby *lobby, unsigned index);

/* Close who has overstayed, forget who is gone. Indices change. Does nothing to who waits. */
void lobby_tidy(struct lobby *lobby, uint64_t now_ns);

/* Close everybody's connection. */
void lobby_close(struct lobby *lobby);

#endif
