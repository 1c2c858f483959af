/* An echo server on epoll, to be measured as a program:
 *
 *     pybench --func exec:'docs/examples/build/echo-c --port {port}' --conns 100
 *
 * Plain on purpose: one thread, level-triggered, two system calls per message. A peer that does not
 * read makes its own connection wait and no other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, BUFFER = 65536 };

/* One connection. rest: what its peer has not taken yet. */
struct peer {
    int fd;
    size_t rest_size;
    char *rest;
};

static int epoll_fd, listener;
static char buffer[BUFFER];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct peer *peer, int op, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};

    if (epoll_ctl(epoll_fd, op, peer ? peer->fd : listener, &event) < 0)
        die("epoll_ctl");
}

static void accept_all(void)
{
    int one = 1, fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *peer = calloc(1, sizeof *peer);

        if (!peer)
            die("calloc");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peer->fd = fd;
        watch(peer, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void hang_up(struct peer *peer)
{
    close(peer->fd);
    free(peer->rest);
    free(peer);
}

/* Send; what does not fit is kept, and the peer not read until it is gone. */
static void reply(struct peer *peer, const char *bytes, size_t size)
{
    ssize_t sent = send(peer->fd, bytes, size, MSG_NOSIGNAL);

    if (sent == (ssize_t)size)
        return;
    if (sent < 0 && errno != EAGAIN) {
        hang_up(peer);
        return;
    }
    peer->rest_size = size - (size_t)(sent < 0 ? 0 : sent);
    peer->rest = malloc(peer->rest_size);
    if (!peer->rest)
        die("malloc");
    memcpy(peer->rest, bytes + size - peer->rest_size, peer->rest_size);
    watch(peer, EPOLL_CTL_MOD, EPOLLOUT);
}

static void readable(struct peer *peer)
{
    ssize_t got = recv(peer->fd, buffer, sizeof buffer, 0);

    if (got > 0)
        reply(peer, buffer, (size_t)got);
    else if (got == 0 || errno != EAGAIN)
        hang_up(peer);
}

static void writable(struct peer *peer)
{
    char *rest = peer->rest;

    watch(peer, EPOLL_CTL_MOD, EPOLLIN);
    peer->rest = NULL;
    reply(peer, rest, peer->rest_size);
    free(rest);
}

static void listen_on(unsigned short port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_ANY),
    };
    int one = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0)
        die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
        die("bind");
    if (listen(listener, 65535) < 0)
        die("listen");
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];

    if (argc != 3 || strcmp(argv[1], "--port") != 0) {
        fprintf(stderr, "usage: %s --port PORT\n", argv[0]);
        return 2;
    }
    listen_on((unsigned short)atoi(argv[2]));
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0)
        die("epoll_create1");
    watch(NULL, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr)
                accept_all();
            else if (events[i].events & EPOLLOUT)
                writable(events[i].data.ptr);
            else
                readable(events[i].data.ptr);
        }
    }
}
