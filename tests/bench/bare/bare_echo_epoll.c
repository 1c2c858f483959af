/* bare_echo_epoll.c - the least an echo over epoll can do: accept CONNS, then per message one recv
 * and one send, and a share of an epoll_wait. Ends when all peers have closed. One thread.
 *
 *     bare_echo_epoll PORT CONNS
 *
 * Level-triggered, so that it need not read on until EAGAIN: what is left shows in the next wait.
 */
#include "bare.h"

#include <sys/epoll.h>
#include <unistd.h>

enum { BATCH = 1024, ROOM = 64 * 1024 };

static const char USAGE[] = "PORT CONNS";

static int watch_all(const int *fds, int count)
{
    int epoll_fd = checked(epoll_create1(0), "epoll_create1");

    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};

        checked(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event), "epoll_ctl");
    }
    return epoll_fd;
}

/* Returns whether the connection is still there. */
static int echo(int fd)
{
    static char bytes[ROOM];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);

    if (n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) == n)
        return 1;
    close(fd); /* the peer has closed, or reset it: the end of a run either way */
    return 0;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];
    int port = (int)argument(argc, argv, 1, USAGE);
    int open_count = (int)argument(argc, argv, 2, USAGE);
    int *fds = accept_all(port, open_count);
    int epoll_fd = watch_all(fds, open_count);

    while (open_count > 0) {
        int n = epoll_wait(epoll_fd, events, BATCH, -1);

        for (int i = 0; i < n; i++)
            open_count -= !echo(events[i].data.fd);
    }
    free(fds);
    return 0;
}
