/* clients.h - control clients that are not being served: those that have not yet sent their whole
 * request, those that have and wait a moment for their turn, and those that have their answer and
 * are about to leave.
 *
 * Keeps an idle or slow client from holding up the others, and an answer from being lost to a
 * connection that is closed while the client still writes. Belongs to the main thread; never
 * blocks, but for a moment at the end.
 */
#ifndef PYBENCH_CLIENTS_H
#define PYBENCH_CLIENTS_H

#include "control.h"
#include "failure.h"

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENTS_MAX = 128 }; /* more than a heat has workers, which all ask at once */

enum client_state {
    CLIENT_TALKING, /* its request is not whole yet */
    CLIENT_WAITING, /* its request is whole: it is served, or refused when its deadline comes */
    CLIENT_LEAVING, /* answered: only its end is awaited */
};

struct client {
    int fd;
    enum client_state state;
    uint64_t deadline_ns;
    size_t length;
    char input[CONTROL_LINE_MAX];
};

struct clients {
    unsigned count;
    struct client items[CLIENTS_MAX];
};

/* Take in a freshly accepted connection. When there is no room the one nearest its deadline goes,
 * of those whose request is not whole or answered; when all wait, one of them, with an answer. */
void clients_add(struct clients *clients, int fd);

/* Take in a connection that has had its answer; it is closed when the client closes, or soon. */
void clients_dismiss(struct clients *clients, int fd);

/* Answer with an error and see the client out. */
void clients_refuse(struct clients *clients, unsigned index, const struct failure *fail);

/* Fill fds[0..count) to poll for, client by client. Returns the count. */
unsigned clients_poll(const struct clients *clients, struct pollfd *fds);

/* Milliseconds until the next client has overstayed, -1 when there is none. */
int clients_timeout_ms(const struct clients *clients, uint64_t now_ns);

/* Read from a client that polled ready. When its request is whole it begins to wait, for as long as
 * a test that is just ending takes to end: so that whoever saw the end of one is not refused the
 * next. A client that has gone is marked with fd -1 until clients_tidy. */
void clients_read(struct clients *clients, unsigned index);

/* Index of the client that has waited longest, -1 when there is none. */
int clients_waiting(const struct clients *clients);

/* Let those who wait do so anew from now_ns on: they did not have their chance. */
void clients_prolong(struct clients *clients, uint64_t now_ns);

/* Let the client go without closing its connection: it is the caller's now. */
int clients_release(struct clients *clients, unsigned index);

/* Close who has overstayed, forget who is gone. Indices change. Does nothing to who waits. */
void clients_tidy(struct clients *clients, uint64_t now_ns);

/* Tell those who are not answered yet why, wait a moment until all have read it and are gone, close
 * what is left: a connection that is closed with bytes unread takes its answer along. */
void clients_close(struct clients *clients, const struct failure *why);

#endif
