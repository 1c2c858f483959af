/* lobby.c - see lobby.h. */
#define _GNU_SOURCE
#include "lobby.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t REQUEST_NS = 10 * NS_PER_S; /* to send a request in */
static const uint64_t WAIT_NS = 100 * NS_PER_MS;  /* for a test that is just ending */
static const uint64_t LEAVE_NS = 2 * NS_PER_S;    /* to read the answer in */

static void guest_gone(struct guest *guest)
{
    if (guest->fd >= 0)
        close(guest->fd);
    guest->fd = -1;
}

static struct guest *most_overdue(struct lobby *lobby)
{
    struct guest *found = lobby->guests;

    for (unsigned i = 1; i < lobby->count; i++)
        if (lobby->guests[i].deadline_ns < found->deadline_ns)
            found = &lobby->guests[i];
    return found;
}

static void guest_add(struct lobby *lobby, int fd, enum guest_state state, uint64_t stay_ns)
{
    struct guest *guest;

    if (lobby->count < LOBBY_MAX) {
        guest = &lobby->guests[lobby->count++];
    } else {
        guest = most_overdue(lobby);
        guest_gone(guest);
    }
    guest->fd = fd;
    guest->state = state;
    guest->length = 0;
    guest->deadline_ns = clock_now_ns() + stay_ns;
}

void lobby_enter(struct lobby *lobby, int fd)
{
    guest_add(lobby, fd, GUEST_TALKING, REQUEST_NS);
}

void lobby_leave(struct lobby *lobby, int fd)
{
    /* our FIN tells the client that this was all; closing now could reset the answer away */
    shutdown(fd, SHUT_WR);
    guest_add(lobby, fd, GUEST_LEAVING, LEAVE_NS);
}

void lobby_refuse(struct lobby *lobby, unsigned index, const struct failure *fail)
{
    struct guest *guest = &lobby->guests[index];
    size_t length;
    char *reply = control_error(&length, fail);

    if (reply)
        (void)!send(guest->fd, reply, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(reply);
    shutdown(guest->fd, SHUT_WR);
    guest->state = GUEST_LEAVING;
    guest->length = 0;
    guest->deadline_ns = clock_now_ns() + LEAVE_NS;
}

unsigned lobby_poll(const struct lobby *lobby, struct pollfd *fds)
{
    for (unsigned i = 0; i < lobby->count; i++)
        fds[i] = (struct pollfd){
            .fd = lobby->guests[i].fd,
            .events = lobby->guests[i].state == GUEST_WAITING ? 0 : POLLIN,
        };
    return lobby->count;
}

int lobby_timeout_ms(const struct lobby *lobby, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (unsigned i = 0; i < lobby->count; i++)
        if (lobby->guests[i].deadline_ns < next_ns)
            next_ns = lobby->guests[i].deadline_ns;
    if (next_ns == UINT64_MAX)
        return -1;
    return next_ns > now_ns ? (int)((next_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

void lobby_read(struct lobby *lobby, unsigned index)
{
    struct guest *guest = &lobby->guests[index];
    size_t used;
    ssize_t n;

    if (guest->state == GUEST_LEAVING)
        guest->length = 0; /* nobody listens any more */
    n = recv(guest->fd, guest->input + guest->length, sizeof guest->input - guest->length,
             MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        guest_gone(guest);
        return;
    }
    guest->length += (size_t)n;
    if (guest->state == GUEST_TALKING &&
        control_shape(guest->input, guest->length, &used) == CONTROL_WHOLE) {
        guest->state = GUEST_WAITING;
        guest->deadline_ns = clock_now_ns() + WAIT_NS;
    }
}

int lobby_waiting(const struct lobby *lobby)
{
    for (unsigned i = 0; i < lobby->count; i++)
        if (lobby->guests[i].fd >= 0 && lobby->guests[i].state == GUEST_WAITING)
            return (int)i;
    return -1;
}

int lobby_release(struct lobby *lobby, unsigned index)
{
    int fd = lobby->guests[index].fd;

    lobby->guests[index].fd = -1;
    return fd;
}

void lobby_tidy(struct lobby *lobby, uint64_t now_ns)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < lobby->count; i++) {
        struct guest *guest = &lobby->guests[i];

        if (guest->fd >= 0 && now_ns >= guest->deadline_ns && guest->state != GUEST_WAITING)
            guest_gone(guest);
        if (guest->fd >= 0 && kept++ != i)
            lobby->guests[kept - 1] = *guest;
    }
    lobby->count = kept;
}

void lobby_close(struct lobby *lobby)
{
    for (unsigned i = 0; i < lobby->count; i++)
        guest_gone(&lobby->guests[i]);
    lobby->count = 0;
}
