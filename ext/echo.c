/* Accept N connections, echo one message: see echo.h. No Python, no waiting for readiness of a
 * connection, no policy about whose turn it is. */
#define _GNU_SOURCE
#include "echo.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct echo_rest {
    size_t sent;
    size_t size;
    char bytes[];
};

static int fail(const char **call, const char *name)
{
    *call = name;
    return -errno;
}

int echo_set_open(struct echo_set *set, int listener_fd, int conns, size_t msize)
{
    *set = (struct echo_set){.wanted = conns,
                             .total = conns,
                             .listener_fd = listener_fd,
                             .listener_mode = -1,
                             .msize = msize};
    set->conns = calloc((size_t)conns, sizeof *set->conns);
    if (set->conns == NULL)
        return fail(&set->call, "calloc");
    int mode = fcntl(listener_fd, F_GETFL);
    if (mode < 0 || fcntl(listener_fd, F_SETFL, mode | O_NONBLOCK) < 0)
        return fail(&set->call, "fcntl");
    set->listener_mode = mode;
    return 0;
}

size_t echo_buffer_bytes(size_t msize)
{
    if (msize < ECHO_BUFFER_LEAST)
        return ECHO_BUFFER_LEAST;
    return msize < ECHO_BUFFER_MOST ? msize : ECHO_BUFFER_MOST;
}

/* The peer may have gone before we got to its connection: the others are still to come. */
static bool is_transient(int err)
{
    return err == EINTR || err == ECONNABORTED || err == EPROTO;
}

int echo_accept_now(struct echo_set *set, int flags)
{
    const int on = 1;

    while (set->count < set->wanted) {
        int fd = accept4(set->listener_fd, NULL, NULL, flags | SOCK_CLOEXEC);
        if (fd >= 0) {
            /* Fails on sockets that are not TCP, which have no Nagle delay either. */
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            set->conns[set->count++] = (struct echo_conn){.fd = fd};
            set->alive++;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return ECHO_AGAIN;
        } else if (!is_transient(errno)) {
            int err = fail(&set->call, "accept4");
            snprintf(set->detail, sizeof set->detail, "%d of %d connections accepted",
                     set->earlier + set->count, set->total);
            return err;
        }
    }
    return 0;
}

int echo_accept(struct echo_set *set, int flags)
{
    struct pollfd listener = {.fd = set->listener_fd, .events = POLLIN};
    int result = echo_accept_now(set, flags);

    if (result == ECHO_AGAIN && poll(&listener, 1, ECHO_TICK_MS) < 0 && errno != EINTR)
        return fail(&set->call, "poll");
    return result;
}

void echo_conn_close(struct echo_set *set, struct echo_conn *conn)
{
    close(conn->fd);
    conn->fd = -1;
    free(conn->rest);
    conn->rest = NULL;
    set->alive--;
}

void echo_set_close(struct echo_set *set)
{
    for (int i = 0; i < set->count; i++) {
        if (set->conns[i].fd >= 0)
            echo_conn_close(set, &set->conns[i]);
    }
    free(set->conns);
    set->conns = NULL;
    set->count = 0;
    if (set->listener_mode >= 0)
        fcntl(set->listener_fd, F_SETFL, set->listener_mode);
}

bool echo_peer_gone(int err)
{
    return err == ECONNRESET || err == ECONNABORTED || err == EPIPE || err == ETIMEDOUT;
}

/* What a failed recv or send means: nothing now, the peer is gone, or a fault of our own. */
static int classify(const char **call, const char *name)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return -EAGAIN;
    return echo_peer_gone(errno) ? 0 : fail(call, name);
}

/* Off the hot path: keeps what the kernel would not take. A malloc per stall, none per message. */
static ssize_t keep_rest(struct echo_conn *conn, const char *bytes, size_t size, const char **call)
{
    struct echo_rest *rest = malloc(sizeof *rest + size);
    if (rest == NULL)
        return fail(call, "malloc");
    rest->sent = 0;
    rest->size = size;
    memcpy(rest->bytes, bytes, size);
    conn->rest = rest;
    return 0;
}

ssize_t echo_turn(struct echo_conn *conn, char *buf, size_t size, const char **call)
{
    ssize_t got = recv(conn->fd, buf, size, 0);
    if (got <= 0)
        return got == 0 ? 0 : classify(call, "recv");

    ssize_t sent = send(conn->fd, buf, (size_t)got, MSG_NOSIGNAL);
    if (sent == got)
        return got;
    if (sent < 0) {
        int err = classify(call, "send");
        if (err != -EAGAIN)
            return err;
        sent = 0;
    }
    ssize_t err = keep_rest(conn, buf + sent, (size_t)(got - sent), call);
    return err < 0 ? err : got;
}

int echo_flush(struct echo_conn *conn, const char **call)
{
    struct echo_rest *rest = conn->rest;
    ssize_t sent = send(conn->fd, rest->bytes + rest->sent, rest->size - rest->sent, MSG_NOSIGNAL);
    if (sent < 0)
        return classify(call, "send");
    rest->sent += (size_t)sent;
    if (rest->sent < rest->size)
        return -EAGAIN;
    free(rest);
    conn->rest = NULL;
    return 1;
}

ssize_t echo_turn_blocking(int fd, char *buf, size_t size, const char **call)
{
    ssize_t got;
    do
        got = recv(fd, buf, size, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 ? 0 : classify(call, "recv");

    for (ssize_t sent = 0; sent < got;) {
        ssize_t more = send(fd, buf + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (more >= 0)
            sent += more;
        else if (errno != EINTR)
            return classify(call, "send");
    }
    return got;
}
