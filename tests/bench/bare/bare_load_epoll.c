/* bare_load_epoll.c - the least a generator over epoll can do: open CONNS, keep one message in
 * flight on each, and count what comes back. One thread.
 *
 *     bare_load_epoll PORT CONNS WARMUP_S RUNTIME_S         prints: mps 123456 cpu_ns 7890
 *
 * Per message one recv and one send, and a share of an epoll_wait. Edge-triggered: a socket whose
 * message has been read whole need not be polled again. It sleeps until something comes: every
 * connection has a message in flight, so that something always does, if only the end of the peer.
 */
#include "bare.h"

#include <sys/epoll.h>

enum { BATCH = 1024 };

static const char USAGE[] = "PORT CONNS WARMUP_S RUNTIME_S";

static int watch_all(const int *fds, int count)
{
    int epoll_fd = checked(epoll_create1(0), "epoll_create1");

    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fds[i]};

        checked(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
    }
    return epoll_fd;
}

static void ping(int fd)
{
    static const char message[MESSAGE] = "ping";

    if (send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
        fail("send", errno);
}

/* Take an echo and answer it with the next message. */
static void pong(int fd)
{
    char bytes[MESSAGE];

    if (recv(fd, bytes, MESSAGE, 0) != MESSAGE)
        fail("recv, of a whole message", errno);
    ping(fd);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];
    int port = (int)argument(argc, argv, 1, USAGE);
    int count = (int)argument(argc, argv, 2, USAGE);
    double warmup_s = argument(argc, argv, 3, USAGE);
    double runtime_s = argument(argc, argv, 4, USAGE);
    int *fds = connect_all(port, count);
    int epoll_fd = watch_all(fds, count);
    struct window window = window_from_now(warmup_s, runtime_s);
    uint64_t now;

    for (int i = 0; i < count; i++)
        ping(fds[i]);
    while ((now = now_ns()) < window.end_ns) {
        int n = checked(epoll_wait(epoll_fd, events, BATCH, -1), "epoll_wait");

        for (int i = 0; i < n; i++)
            pong(events[i].data.fd);
        window_count(&window, now, (unsigned)n);
    }
    window_print(&window, now);
    free(fds);
    return 0;
}
