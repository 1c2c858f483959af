/* The plain C half of the C rows: accept N connections, echo one message.
 *
 *   listener -> echo_accept() -> struct echo_set -> a row decides whose turn it is -> echo_turn()
 *
 * c_epoll.c, c_epoll_tls.c, c_poll.c, c_th.c and c_uring.c each implement struct echo_row: how they
 * wait. pyserve.h calls them from Python, and shares.c in several threads where there are too many
 * connections for one. Nothing here knows Python, keeps global state or takes a lock: a set belongs
 * to the thread that made it, a connection to the one thread that takes its turns.
 *
 * Fallible functions return a count or 0, or a negative errno; on failure *call is the name of the
 * system call that failed.
 */
#ifndef PYBENCH_ECHO_H
#define PYBENCH_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A step that returns this is not finished: look at the pending signals and call it again. Loops
 * return it at the latest after ECHO_TICK_MS without an event, because a signal that arrives just
 * before the wait does not interrupt it, and after ECHO_TICK_WAITS waits, because a wait that finds
 * events never reports EINTR: without that a saturated loop would not see Ctrl-C. */
enum { ECHO_AGAIN = 1, ECHO_TICK_MS = 200, ECHO_TICK_WAITS = 256 };

/* Bytes of a receive buffer: as many as a message has, within these bounds. With less than a
 * message each takes several turns, and each turn a wait, a recv and a send. */
enum { ECHO_BUFFER_LEAST = 64 * 1024, ECHO_BUFFER_MOST = 1024 * 1024 };

struct echo_rest; /* bytes received that the kernel would not take back yet */

struct echo_conn {
    int fd;                 /* owned; -1 once closed */
    struct echo_rest *rest; /* owned; NULL unless the last send was short */
};

struct echo_set {
    struct echo_conn *conns; /* owned: `wanted` elements, of which `count` were accepted */
    int wanted;
    int count;
    int alive;          /* accepted and not yet closed */
    int listener_fd;    /* borrowed */
    int listener_mode;  /* its file status flags, put back by echo_set_close */
    int earlier, total; /* of a share: accepted by those before it, and wanted by all of them */
    size_t msize;       /* bytes of a message, as the caller announced them, >= 1 */
    const char *call;   /* the system call that failed last */
    char detail[256];   /* what else there is to say about that failure; may be empty */
};

/* How a row waits. `state` is `state_bytes` of zeroed memory. open: 0 or a negative errno. run: 0
 * when all connections are closed, ECHO_AGAIN, or a negative errno. close: ends and frees whatever
 * open made, also after an open that failed; returns how many messages were echoed. */
struct echo_row {
    size_t state_bytes;
    int (*open)(void *state, struct echo_set *set);
    int (*run)(void *state);
    int64_t (*close)(void *state);
};

/* Prepares to accept `conns` (>= 1) connections from a listening socket, which becomes non-blocking
 * until echo_set_close. Returns 0 or a negative errno; echo_set_close is due in either case. */
int echo_set_open(struct echo_set *set, int listener_fd, int conns, size_t msize);

/* Accepts what there is, and waits a moment for more. Returns 0 when all are there, ECHO_AGAIN, or
 * a negative errno. flags: as for accept4. TCP sockets get TCP_NODELAY. */
int echo_accept(struct echo_set *set, int flags);

/* The same without waiting for further ones. */
int echo_accept_now(struct echo_set *set, int flags);

/* Bytes of a buffer for messages of msize. */
size_t echo_buffer_bytes(size_t msize);

/* Closes every connection still open and frees the set. */
void echo_set_close(struct echo_set *set);

/* Closes one connection of the set and drops what it still had to send. */
void echo_conn_close(struct echo_set *set, struct echo_conn *conn);

/* Whether a failed recv or send (a positive errno) says that the peer has closed or reset the
 * connection, or was given up; anything else is a fault of our own. */
bool echo_peer_gone(int err);

/* One turn of a non-blocking connection that has no rest: one recv and one send. Returns the bytes
 * received (> 0), 0 when the peer has closed or reset the connection, -EAGAIN when there was
 * nothing to read. When the kernel did not take all of it, conn->rest holds what is left, and the
 * connection must not be read again before echo_flush returned 1. */
ssize_t echo_turn(struct echo_conn *conn, char *buf, size_t size, const char **call);

/* Sends more of conn->rest, which must not be NULL. Returns 1 when it is all out, -EAGAIN when some
 * is left, 0 when the peer is gone. */
int echo_flush(struct echo_conn *conn, const char **call);

/* One turn of a blocking socket: waits for bytes and returns once the kernel has taken all of them
 * back. Returns like echo_turn. */
ssize_t echo_turn_blocking(int fd, char *buf, size_t size, const char **call);

#endif
