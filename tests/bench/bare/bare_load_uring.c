/* bare_load_uring.c - the least a generator over io_uring can do: open CONNS, keep one message in
 * flight on each, and count what comes back. One thread.
 *
 *     bare_load_uring PORT CONNS WARMUP_S RUNTIME_S         prints: mps 123456 cpu_ns 7890
 *
 * Per message no system call of its own. All messages are the same bytes, so that any number of
 * sends can be under way; only failing ones are reported. It sleeps until something comes, as
 * bare_load_epoll.c does.
 */
#include "bare_uring.h"

static const char USAGE[] = "PORT CONNS WARMUP_S RUNTIME_S";

static void ping(struct ring *ring, int index)
{
    static const char message[MESSAGE] = "ping";

    ring_send(ring, index, message, MESSAGE, IOSQE_CQE_SKIP_SUCCESS, SENT);
}

/* A receive completed: queue the next message. Returns how many echoes came, 0 or 1. */
static unsigned pong(struct ring *ring, const struct io_uring_cqe *cqe, int given)
{
    int index = (int)cqe->user_data;

    if (cqe->user_data & SENT)
        fail("send", -cqe->res);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        ring_receive(ring, index);
    if (cqe->res == -ENOBUFS) /* all buffers were out for a moment */
        return 0;
    if (cqe->res != MESSAGE)
        fail("recv, of a whole message", cqe->res < 0 ? -cqe->res : EBADMSG);
    ring_give(ring, buffer_of(cqe), given);
    ping(ring, index);
    return 1;
}

/* Work off what has completed. Returns the number of echoes. */
static unsigned reap(struct ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0, echoes = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        seen++;
        echoes += pong(ring, cqe, (int)echoes);
    }
    io_uring_cq_advance(&ring->uring, seen);
    ring_publish(ring, (int)echoes);
    return echoes;
}

int main(int argc, char **argv)
{
    int port = (int)argument(argc, argv, 1, USAGE);
    int count = (int)argument(argc, argv, 2, USAGE);
    double warmup_s = argument(argc, argv, 3, USAGE);
    double runtime_s = argument(argc, argv, 4, USAGE);
    int *fds = connect_all(port, count);
    struct ring ring;
    struct window window;
    uint64_t now;

    ring_open(&ring, fds, count);
    for (int i = 0; i < count; i++)
        ring_receive(&ring, i);
    window = window_from_now(warmup_s, runtime_s);
    for (int i = 0; i < count; i++)
        ping(&ring, i);
    while ((now = now_ns()) < window.end_ns) {
        ring_wait(&ring);
        window_count(&window, now, reap(&ring));
    }
    window_print(&window, now);
    free(fds);
    return 0;
}
