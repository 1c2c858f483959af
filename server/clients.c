/* clients.c - see clients.h. */
#define _GNU_SOURCE
#include "clients.h"

#include "clock.h"
#include "reply.h"
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t REQUEST_NS = 10 * NS_PER_S; /* to send a request in */
static const uint64_t WAIT_NS = 100 * NS_PER_MS;  /* for a test that is just ending */
static const uint64_t LEAVE_NS = 2 * NS_PER_S;    /* to read the answer in */
static const uint64_t CLOSE_NS = 500 * NS_PER_MS; /* the same, when the server ends */

static void client_gone(struct client *client)
{
    if (client->fd >= 0) {
        shutdown(client->fd, SHUT_RDWR); /* a ping thread's table may just have been copied: it */
        close(client->fd);               /* shall end for the client all the same */
    }
    client->fd = -1;
}

/* The one nearest its deadline among those who wait, or those who do not; -1: there is none. */
static int most_overdue(const struct clients *clients, bool waiting)
{
    const struct client *items = clients->items;
    int found = -1;

    for (unsigned i = 0; i < clients->count; i++)
        if ((items[i].state == CLIENT_WAITING) == waiting &&
            (found < 0 || items[i].deadline_ns < items[found].deadline_ns))
            found = (int)i;
    return found;
}

/* Make room for one more. */
static struct client *evict(struct clients *clients)
{
    int index = most_overdue(clients, false);
    struct failure busy;

    if (index < 0) {
        index = most_overdue(clients, true);
        failure_set(&busy, "busy", 0, "too many clients wait: try again later");
        clients_refuse(clients, (unsigned)index, &busy);
    }
    client_gone(&clients->items[index]);
    return &clients->items[index];
}

static void client_add(struct clients *clients, int fd, enum client_state state, uint64_t stay_ns)
{
    struct client *client =
        clients->count < CLIENTS_MAX ? &clients->items[clients->count++] : evict(clients);

    client->fd = fd;
    client->state = state;
    client->length = 0;
    client->deadline_ns = clock_now_ns() + stay_ns;
}

void clients_add(struct clients *clients, int fd)
{
    client_add(clients, fd, CLIENT_TALKING, REQUEST_NS);
}

void clients_dismiss(struct clients *clients, int fd)
{
    /* our FIN tells the client that this was all; closing now could reset the answer away */
    shutdown(fd, SHUT_WR);
    client_add(clients, fd, CLIENT_LEAVING, LEAVE_NS);
}

void clients_refuse(struct clients *clients, unsigned index, const struct failure *fail)
{
    struct client *client = &clients->items[index];
    int version = request_version(client->input, client->length);
    struct reply reply = reply_refusal(version, fail);

    if (reply.text)
        (void)!send(client->fd, reply.text, reply.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(reply.text);
    shutdown(client->fd, SHUT_WR);
    client->state = CLIENT_LEAVING;
    client->length = 0;
    client->deadline_ns = clock_now_ns() + LEAVE_NS;
}

unsigned clients_poll(const struct clients *clients, struct pollfd *fds)
{
    for (unsigned i = 0; i < clients->count; i++)
        fds[i] = (struct pollfd){
            .fd = clients->items[i].fd,
            .events = clients->items[i].state == CLIENT_WAITING ? 0 : POLLIN,
        };
    return clients->count;
}

int clients_timeout_ms(const struct clients *clients, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (unsigned i = 0; i < clients->count; i++)
        if (clients->items[i].deadline_ns < next_ns)
            next_ns = clients->items[i].deadline_ns;
    if (next_ns == UINT64_MAX)
        return -1;
    return next_ns > now_ns ? (int)((next_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

void clients_read(struct clients *clients, unsigned index)
{
    struct client *client = &clients->items[index];
    size_t used;
    ssize_t n;

    if (client->state == CLIENT_LEAVING)
        client->length = 0; /* nobody listens any more */
    n = recv(client->fd, client->input + client->length, sizeof client->input - client->length,
             MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_gone(client);
        return;
    }
    client->length += (size_t)n;
    if (client->state == CLIENT_TALKING &&
        request_shape(client->input, client->length, &used) == REQUEST_WHOLE) {
        client->state = CLIENT_WAITING;
        client->deadline_ns = clock_now_ns() + WAIT_NS;
    }
}

int clients_waiting(const struct clients *clients)
{
    const struct client *items = clients->items;
    int found = -1;

    for (unsigned i = 0; i < clients->count; i++)
        if (items[i].fd >= 0 && items[i].state == CLIENT_WAITING &&
            (found < 0 || items[i].deadline_ns < items[found].deadline_ns))
            found = (int)i;
    return found;
}

void clients_prolong(struct clients *clients, uint64_t now_ns)
{
    for (unsigned i = 0; i < clients->count; i++)
        if (clients->items[i].state == CLIENT_WAITING)
            clients->items[i].deadline_ns = now_ns + WAIT_NS;
}

int clients_release(struct clients *clients, unsigned index)
{
    int fd = clients->items[index].fd;

    clients->items[index].fd = -1;
    return fd;
}

void clients_tidy(struct clients *clients, uint64_t now_ns)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < clients->count; i++) {
        struct client *client = &clients->items[i];

        if (client->fd >= 0 && now_ns >= client->deadline_ns && client->state != CLIENT_WAITING)
            client_gone(client);
        if (client->fd >= 0 && kept++ != i)
            clients->items[kept - 1] = *client;
    }
    clients->count = kept;
}

void clients_close(struct clients *clients, const struct failure *why)
{
    uint64_t until_ns = clock_now_ns() + CLOSE_NS;
    struct pollfd fds[CLIENTS_MAX];
    uint64_t now;

    for (unsigned i = 0; i < clients->count; i++) {
        struct client *client = &clients->items[i];

        if (client->fd >= 0 && client->state == CLIENT_TALKING)
            clients_read(clients, i); /* it may have come this moment */
        if (client->fd >= 0 && client->state == CLIENT_WAITING)
            clients_refuse(clients, i, why);
        else if (client->state == CLIENT_TALKING)
            client_gone(client);
    }
    clients_tidy(clients, clock_now_ns());
    while (clients->count > 0 && (now = clock_now_ns()) < until_ns) {
        unsigned count = clients_poll(clients, fds);

        if (poll(fds, count, (int)((until_ns - now) / NS_PER_MS) + 1) < 0)
            break;
        for (unsigned i = 0; i < count; i++)
            if (fds[i].revents)
                clients_read(clients, i);
        clients_tidy(clients, clock_now_ns());
    }
    for (unsigned i = 0; i < clients->count; i++)
        client_gone(&clients->items[i]);
    clients->count = 0;
}
