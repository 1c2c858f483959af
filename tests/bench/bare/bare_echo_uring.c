/* bare_echo_uring.c - the least an echo over io_uring can do: accept CONNS, then send back each
 * message from the very buffer that it was received in. Ends when all peers have closed. One
 * thread.
 *
 *     bare_echo_uring PORT CONNS
 *
 * Per message no system call of its own: one io_uring_enter a batch submits the sends and waits for
 * more. A buffer is given back when its send has completed, not before: the kernel may still read
 * it.
 */
#include "bare_uring.h"

static const char USAGE[] = "PORT CONNS";

/* A receive completed. Returns whether the connection is still there. */
static int echo(struct ring *ring, const struct io_uring_cqe *cqe)
{
    int index = (int)cqe->user_data;
    unsigned id = buffer_of(cqe);

    if (cqe->res > 0)
        ring_send(ring, index, ring->buffers[id], (size_t)cqe->res, 0, SENT | id);
    else if (cqe->res != -ENOBUFS) /* all buffers were out for a moment */
        return 0;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        ring_receive(ring, index);
    return 1;
}

/* Work off what has completed. Returns how many connections are left of open_count. */
static int reap(struct ring *ring, int open_count)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    int given = 0;

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        seen++;
        if (cqe->user_data & SENT)
            ring_give(ring, cqe->user_data & (BUFFERS - 1), given++);
        else
            open_count -= !echo(ring, cqe);
    }
    io_uring_cq_advance(&ring->uring, seen);
    ring_publish(ring, given);
    return open_count;
}

int main(int argc, char **argv)
{
    int port = (int)argument(argc, argv, 1, USAGE);
    int open_count = (int)argument(argc, argv, 2, USAGE);
    int *fds = accept_all(port, open_count);
    struct ring ring;

    ring_open(&ring, fds, open_count);
    for (int i = 0; i < open_count; i++)
        ring_receive(&ring, i);
    while (open_count > 0) {
        ring_wait(&ring);
        open_count = reap(&ring, open_count);
    }
    free(fds);
    return 0;
}
