/* liburing.c - compiles and links (-luring) where there is a liburing that can do multishot
 * receives into buffer rings: 2.3 or later. setup.py and `make server` ask the compiler with it
 * whether the io_uring engine can be built. It is never run. */
#include <liburing.h>

int main(void)
{
    struct io_uring_buf_reg reg = {0};
    struct io_uring_sqe sqe;

    io_uring_prep_recv_multishot(&sqe, 0, 0, 0, 0);
    return io_uring_register_buf_ring(0, &reg, 0) + IORING_SETUP_DEFER_TASKRUN;
}
