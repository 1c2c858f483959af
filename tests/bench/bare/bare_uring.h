/* bare_uring.h - the ring that the two bare programs on io_uring use, as fast as it can be had.
 *
 * Every connection has a multishot receive, which delivers into provided buffers; receives and
 * sends name their connection by its place in a table that the kernel holds (fixed files).
 * Completions are worked off only when this thread asks (DEFER_TASKRUN). Needs liburing 2.3 and
 * Linux 6.1.
 */
#ifndef PYBENCH_BARE_URING_H
#define PYBENCH_BARE_URING_H

#include "bare.h"

#include <liburing.h>
#include <sys/mman.h>

enum {
    SQ_ENTRIES = 8192,
    CQ_ENTRIES = 65536,
    BUFFERS = 16384,          /* a power of two */
    SENT = UINT64_C(1) << 62, /* in user_data: a send completed, of the buffer in the low bits */
};

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *buffer_ring;
    char (*buffers)[MESSAGE]; /* BUFFERS of them */
};

/* Let the kernel have a buffer again, as the offset-th since the last ring_publish. */
static inline void ring_give(struct ring *ring, unsigned id, int offset)
{
    io_uring_buf_ring_add(ring->buffer_ring, ring->buffers[id], MESSAGE, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), offset);
}

static inline void ring_publish(struct ring *ring, int given)
{
    io_uring_buf_ring_advance(ring->buffer_ring, given);
}

static inline void ring_open_buffers(struct ring *ring)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    int err;

    ring->buffers = malloc(BUFFERS * sizeof *ring->buffers);
    ring->buffer_ring = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                             MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (!ring->buffers || ring->buffer_ring == MAP_FAILED)
        fail("mmap", ENOMEM);
    reg.ring_addr = (uintptr_t)ring->buffer_ring;
    if ((err = io_uring_register_buf_ring(&ring->uring, &reg, 0)) < 0)
        fail("io_uring_register_buf_ring", -err);
    io_uring_buf_ring_init(ring->buffer_ring);
    for (int i = 0; i < BUFFERS; i++)
        ring_give(ring, (unsigned)i, i);
    ring_publish(ring, BUFFERS);
}

/* Make a ring for these connections. */
static inline void ring_open(struct ring *ring, const int *fds, int count)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = CQ_ENTRIES,
    };
    int err = io_uring_queue_init_params(SQ_ENTRIES, &ring->uring, &params);

    if (err < 0)
        fail("io_uring_queue_init_params", -err);
    if ((err = io_uring_register_files(&ring->uring, fds, (unsigned)count)) < 0)
        fail("io_uring_register_files", -err);
    ring_open_buffers(ring);
}

static inline struct io_uring_sqe *ring_next(struct ring *ring)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&ring->uring)))
        io_uring_submit(&ring->uring); /* the queue is full */
    return sqe;
}

/* Queue the receive of a connection; its completions carry the connection's index. */
static inline void ring_receive(struct ring *ring, int index)
{
    struct io_uring_sqe *sqe = ring_next(ring);

    io_uring_prep_recv_multishot(sqe, index, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, (uint64_t)index);
}

/* Queue a send. flags: of the entry, beside the fixed file. */
static inline void ring_send(struct ring *ring, int index, const char *bytes, size_t length,
                             unsigned flags, uint64_t data)
{
    struct io_uring_sqe *sqe = ring_next(ring);

    io_uring_prep_send(sqe, index, bytes, length, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE | flags;
    io_uring_sqe_set_data64(sqe, data);
}

/* Submit what is queued and sleep until something has completed. */
static inline void ring_wait(struct ring *ring)
{
    int err = io_uring_submit_and_wait(&ring->uring, 1);

    if (err < 0 && err != -EINTR)
        fail("io_uring_submit_and_wait", -err);
}

/* The buffer that a receive was delivered in. */
static inline unsigned buffer_of(const struct io_uring_cqe *cqe)
{
    return cqe->flags >> IORING_CQE_BUFFER_SHIFT;
}

#endif
