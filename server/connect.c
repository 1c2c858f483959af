/* connect.c - see connect.h.
 *
 * A connect that stays unanswered for several times the longest handshake seen is taken to have
 * lost its SYN to a full accept queue. It is closed and tried anew at once the window allows:
 * the kernel would wait a second, then two, then four. No queue ever holds a connection
 * abandoned so, because the last step of its handshake was ours and was never sent. It may have
 * been a way that became slower instead: until the next one is up, patience doubles each time.
 *
 * A Unix socket is up at once or not at all: connect() says EAGAIN while the accept queue is full,
 * and there is nothing to wait on for that to pass. So it is tried again after a short sleep.
 */
#define _GNU_SOURCE
#include "connect.h"

#include "clock.h"
#include "sources.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    WINDOW_START = 16,
    WINDOW_MAX = 256,
    POLL_EVERY = 64, /* look at control_fd and stop_fd after that many connects at the latest */
};

static const uint64_t PATIENCE_MIN_NS = 20 * NS_PER_MS;
static const uint64_t PATIENCE_FIRST_NS = 1500 * NS_PER_MS; /* leaves the kernel its first retry */
static const uint64_t PATIENCE_MAX_NS = 12 * NS_PER_S;
static const unsigned PATIENCE_FACTOR = 8;
static const long QUEUE_PAUSE_NS = 100 * (long)NS_PER_US; /* before a full queue is tried again */

/* A connect in flight, and then the handshake of its TLS. */
struct attempt {
    int fd; /* -1: the slot is free */
    unsigned target;
    unsigned source;
    struct tls *tls; /* owned; NULL: it is not connected yet */
    uint64_t started_ns;
};

/* One listener. It has every job.targets->count-th place; a place is the number of a connection in
 * the job, whichever comes up first. Local ports are its own too: one serves several targets. */
struct target {
    struct address address;
    struct sources sources;
    uint32_t next; /* place of the next connection of it that comes up */
    uint32_t in_flight;
};

struct connector {
    const struct connect_job *job;
    struct target *targets; /* owned */
    unsigned target_count;  /* of those whose sources are to be freed, too */
    int *fds;               /* borrowed, of the call of connect_more that is on */
    struct tls **sessions;  /* likewise; NULL: plain connections */
    uint32_t before;        /* connections that were up when it began */
    uint32_t wanted;        /* that shall be up when it ends */
    uint32_t up;
    uint64_t progress_ns; /* when the last one came up, or the start */
    unsigned window, in_flight;
    bool queue_full;     /* of a Unix listener: no further attempt before a pause */
    uint64_t slowest_ns; /* longest handshake; 0: none yet */
    unsigned doublings;  /* of patience: attempts abandoned since the last success */
    unsigned shaking;    /* handshakes under way */
    uint64_t shaking_ns; /* since when there is one */
    struct handshakes handshakes;
    int epoll_fd;
    struct attempt attempts[WINDOW_MAX];
};

enum { TAG_CONTROL = WINDOW_MAX, TAG_STOP };

/* ---- failures: always call, address, reason, how many were up, and what to do ------------- */

static const char *failure_code(int err)
{
    switch (err) {
    case ECONNREFUSED:
    case ENOENT:
        return "refused";
    case ETIMEDOUT:
        return "timeout";
    case EADDRNOTAVAIL:
        return "no_ports";
    case EMFILE:
    case ENFILE:
        return "no_files";
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EAFNOSUPPORT:
    case EACCES:
    case EPERM:
        return "unreachable";
    case TLS_BROKEN:
        return "tls";
    case TLS_WRONG_PIN:
        return "pin_mismatch";
    default:
        return "internal";
    }
}

static const char *failure_remedy(int err)
{
    switch (err) {
    case ECONNREFUSED:
        return "is the client listening on that address, and did it stay alive?";
    case ETIMEDOUT:
        return "does the client accept, and does no firewall drop the packets?";
    case EADDRNOTAVAIL:
        return "widen net.ipv4.ip_local_port_range or give the server more addresses (--source)";
    case EMFILE:
        return "raise the open-files limit of the load server (ulimit -n)";
    case ENFILE:
        return "raise fs.file-max";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "is there a route from the load server to that address?";
    case ENOENT:
        return "is the client listening there? nothing has that name";
    case EACCES:
        return "does the load server run as a user who may write to that socket, or reach it?";
    case EPROTOTYPE:
        return "it must be a listening stream socket";
    case EAFNOSUPPORT:
        return "no address of the load server's --source is of that address's family";
    case TLS_BROKEN:
        return "does the client speak TLS 1.3 there?";
    case TLS_WRONG_PIN:
        return "the pin is the SHA-256 of the certificate that the client under test has";
    default:
        return "see the load server's machine";
    }
}

static int connect_failure(const struct connector *c, const struct target *target,
                           struct failure *fail, const char *call, int err)
{
    char shown[ADDRESS_TEXT];

    address_print(&target->address, true, shown);
    failure_set(fail, failure_code(err), err, "%s %s: %s (%u of %u connections were up); %s", call,
                shown, strerror(err), (unsigned)c->up, (unsigned)c->job->conns,
                failure_remedy(err));
    fail->call = call;
    memcpy(fail->addr, shown, sizeof fail->addr);
    fail->up = (int)c->up;
    return -err;
}

/* A handshake failed: reason has it in words. */
static int handshake_failure(const struct connector *c, const struct target *target,
                             struct failure *fail, int err, const char *reason)
{
    int remedied = err == ETIMEDOUT ? TLS_BROKEN : err;
    char shown[ADDRESS_TEXT];

    address_print(&target->address, true, shown);
    failure_set(fail, failure_code(err), 0,
                "TLS handshake with %s: %s (%u of %u connections were "
                "up); %s",
                shown, reason, (unsigned)c->up, (unsigned)c->job->conns, failure_remedy(remedied));
    memcpy(fail->addr, shown, sizeof fail->addr);
    fail->up = (int)c->up;
    return -err;
}

/* ---- one connection ----------------------------------------------------------------------- */

/* A fresh socket bound to the next local address. Returns it, *source and *binding telling to what,
 * or a negative errno, *call naming what failed. */
static int socket_open(struct target *target, int *source, int *binding, const char **call)
{
    int one = 1;
    int fd;

    *call = "connect";
    if ((*source = sources_pick(&target->sources)) < 0)
        return *source;
    *call = "socket";
    fd = socket(target->address.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (!address_is_unix(&target->address))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *call = "bind";
    if ((*binding = sources_bind(&target->sources, (unsigned)*source, fd)) < 0) {
        close(fd);
        return *binding;
    }
    return fd;
}

/* The target that lacks most connections: of those with a place left, the one whose place is first.
 * With as many up and in flight as are wanted there is none, and the first is as good as any. */
static struct target *target_to_try(const struct connector *c)
{
    struct target *found = c->targets;

    for (struct target *target = c->targets; target < c->targets + c->target_count; target++)
        if (target->next + target->in_flight * c->target_count <
            found->next + found->in_flight * c->target_count)
            found = target;
    return found;
}

/* The target that is furthest behind with what came up. */
static const struct target *target_behind(const struct connector *c)
{
    const struct target *found = c->targets;

    for (const struct target *target = c->targets; target < c->targets + c->target_count; target++)
        if (target->next < found->next)
            found = target;
    return found;
}

static void attempt_succeeded(struct connector *c, struct target *target, int fd, struct tls *tls,
                              uint64_t now)
{
    uint32_t place = target->next - c->before;

    if (c->sessions)
        c->sessions[place] = tls;
    c->fds[place] = fd;
    target->next += c->target_count;
    c->up++;
    c->progress_ns = now;
    c->doublings = 0;
    if (c->window < WINDOW_MAX)
        c->window++;
}

static struct attempt *free_slot(struct connector *c)
{
    struct attempt *slot = c->attempts;

    while (slot->fd >= 0)
        slot++; /* in_flight < WINDOW_MAX: there is one */
    return slot;
}

/* tls: NULL unless it is connected. */
static int attempt_watch(struct connector *c, struct target *target, int fd, unsigned source,
                         struct tls *tls, uint64_t now)
{
    struct attempt *slot = free_slot(c);
    struct epoll_event event = {
        .events = EPOLLOUT | EPOLLET | (tls ? EPOLLIN | EPOLLRDHUP : 0),
        .data.u32 = (uint32_t)(slot - c->attempts),
    };

    if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    *slot = (struct attempt){
        .fd = fd,
        .target = (unsigned)(target - c->targets),
        .source = source,
        .tls = tls,
        .started_ns = now,
    };
    c->in_flight++;
    target->in_flight++;
    return 0;
}

static void attempt_release(struct connector *c, struct attempt *slot)
{
    epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, slot->fd, NULL);
    slot->fd = -1;
    slot->tls = NULL;
    c->in_flight--;
    c->targets[slot->target].in_flight--;
}

/* One handshake more is under way, or one less. */
static void count_shaking(struct connector *c, bool one_more, uint64_t now)
{
    if (one_more && c->shaking++ == 0)
        c->shaking_ns = now;
    if (!one_more && --c->shaking == 0)
        c->handshakes.busy_ns += now - c->shaking_ns;
}

/* Go on with a handshake. */
static int handshake_step(struct connector *c, struct attempt *slot, struct failure *fail)
{
    struct target *target = &c->targets[slot->target];
    struct tls *tls = slot->tls;
    char reason[TLS_REASON_TEXT];
    int fd = slot->fd;
    int err = tls_handshake(tls, reason);
    uint64_t now = clock_now_ns();

    if (err == -EAGAIN)
        return 0;
    c->handshakes.sum_ns += now - slot->started_ns;
    count_shaking(c, false, now);
    attempt_release(c, slot);
    if (err == 0) {
        attempt_succeeded(c, target, fd, tls, now);
        return 0;
    }
    tls_free(tls);
    close(fd);
    return handshake_failure(c, target, fail, -err, reason);
}

/* A socket is connected: that is all, or its handshake begins. */
static int attempt_connected(struct connector *c, struct target *target, int fd, unsigned source,
                             uint64_t now, struct failure *fail)
{
    struct tls *tls;
    int err;

    if (!c->job->tls) {
        attempt_succeeded(c, target, fd, NULL, now);
        return 0;
    }
    now = clock_now_ns(); /* the connect is no part of the handshake */
    tls = tls_new(c->job->tls, fd);
    err = tls ? attempt_watch(c, target, fd, source, tls, now) : -ENOMEM;
    if (err < 0) {
        tls_free(tls);
        close(fd);
        return connect_failure(c, target, fail, "epoll_ctl", -err);
    }
    count_shaking(c, true, now);
    return 0; /* the first edge, that it can be written, is there already */
}

/* Start one connection. On loopback the handshake runs inside connect(), so that asking once more
 * finds it up and spares the trip through epoll. */
static int attempt_start(struct connector *c, struct failure *fail)
{
    struct target *target = target_to_try(c);
    const struct sockaddr *sa = (const struct sockaddr *)&target->address.sa;
    socklen_t length = target->address.len;
    uint64_t now = clock_now_ns();
    const char *call;
    int source, binding = BOUND_ADDRESS;
    int fd = socket_open(target, &source, &binding, &call);
    int err;

    if (fd < 0)
        return connect_failure(c, target, fail, call, -fd);
    if (connect(fd, sa, length) == 0 || (errno == EINPROGRESS && connect(fd, sa, length) == 0)) {
        return attempt_connected(c, target, fd, (unsigned)source, now, fail);
    }
    err = errno;
    call = "connect";
    if (err == EALREADY || err == EINPROGRESS) {
        if ((err = -attempt_watch(c, target, fd, (unsigned)source, NULL, now)) == 0)
            return 0;
        call = "epoll_ctl";
    }
    close(fd);
    sources_return(&target->sources, (unsigned)source);
    if (err == EAGAIN && address_is_unix(&target->address)) {
        c->queue_full = true;
        return 0;
    }
    if (err == EADDRNOTAVAIL) {
        if (binding == BOUND_ADDRESS) /* else it was this one port: go on with the next */
            sources_spend(&target->sources, (unsigned)source);
        return 0;
    }
    return connect_failure(c, target, fail, call, err);
}

/* How long the handshake of a socket that is up took, at least: from the last SYN on, of which the
 * kernel sends the second after a second, the third two seconds later, and so on. */
static uint64_t handshake_ns(int fd, uint64_t took_ns)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    uint64_t before_ns;

    if (took_ns < NS_PER_S)
        return took_ns;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || info.tcpi_total_retrans > 6)
        return 0;
    before_ns = ((UINT64_C(1) << info.tcpi_total_retrans) - 1) * NS_PER_S;
    return took_ns > before_ns ? took_ns - before_ns : 0;
}

/* An attempt in flight became writable: up, or refused. */
static int attempt_finish(struct connector *c, struct attempt *slot, uint64_t now,
                          struct failure *fail)
{
    struct target *target = &c->targets[slot->target];
    int fd = slot->fd;
    unsigned source = slot->source;
    uint64_t took_ns = now - slot->started_ns;
    socklen_t size = sizeof(int);
    int err = 0;

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
    attempt_release(c, slot);
    if (err) {
        close(fd);
        return connect_failure(c, target, fail, "connect", err);
    }
    took_ns = handshake_ns(fd, took_ns);
    if (took_ns > c->slowest_ns)
        c->slowest_ns = took_ns;
    return attempt_connected(c, target, fd, source, now, fail);
}

/* ---- the loop ----------------------------------------------------------------------------- */

static uint64_t patience_ns(const struct connector *c)
{
    uint64_t patience = c->slowest_ns * PATIENCE_FACTOR;

    if (c->up == 0)
        patience = PATIENCE_FIRST_NS; /* nothing known of the way yet */
    if (patience < PATIENCE_MIN_NS)
        patience = PATIENCE_MIN_NS;
    patience <<= c->doublings;
    return patience < PATIENCE_MAX_NS ? patience : PATIENCE_MAX_NS;
}

/* Give up on attempts that went unanswered, close the window to one, and have more patience. Not on
 * handshakes: these connections are up, and are in the listener's queue or out of it. */
static void drop_unanswered(struct connector *c, uint64_t now)
{
    uint64_t patience = patience_ns(c);
    bool dropped = false;

    for (struct attempt *slot = c->attempts; slot < c->attempts + WINDOW_MAX; slot++) {
        int fd = slot->fd;

        if (fd < 0 || slot->tls || now - slot->started_ns < patience)
            continue;
        attempt_release(c, slot);
        sources_return(&c->targets[slot->target].sources, slot->source);
        close(fd);
        c->window = 1;
        dropped = true;
    }
    if (dropped && patience < PATIENCE_MAX_NS)
        c->doublings++;
}

/* Something happened to an attempt, if it is still there. */
static int attempt_go_on(struct connector *c, struct attempt *slot, uint64_t now,
                         struct failure *fail)
{
    if (slot->fd < 0)
        return 0;
    return slot->tls ? handshake_step(c, slot, fail) : attempt_finish(c, slot, now, fail);
}

/* Nothing came up for too long. */
static int stalled(const struct connector *c, struct failure *fail)
{
    if (c->shaking == 0)
        return connect_failure(c, target_behind(c), fail, "connect", ETIMEDOUT);
    return handshake_failure(c, target_behind(c), fail, ETIMEDOUT,
                             "no answer, and none may wait for further connections");
}

/* Wait up to timeout_ms for attempts to finish. Returns 0, -ECANCELED, or a failure. */
static int await_events(struct connector *c, int timeout_ms, struct failure *fail)
{
    struct epoll_event events[64];
    int n = epoll_wait(c->epoll_fd, events, 64, timeout_ms);
    uint64_t now = clock_now_ns();
    int err;

    if (n < 0 && errno != EINTR)
        return connect_failure(c, target_behind(c), fail, "epoll_wait", errno);
    for (int i = 0; i < n; i++) {
        uint32_t tag = events[i].data.u32;

        if (tag == TAG_CONTROL || tag == TAG_STOP)
            return -ECANCELED;
        if ((err = attempt_go_on(c, &c->attempts[tag], now, fail)) < 0)
            return err;
    }
    now = clock_now_ns(); /* handshakes take their time */
    drop_unanswered(c, now);
    if (now - c->progress_ns >= c->job->stall_ns)
        return stalled(c, fail);
    return 0;
}

/* Whether a further attempt may start. */
static bool may_start(const struct connector *c)
{
    return !c->queue_full && c->in_flight < c->window && c->up + c->in_flight < c->wanted;
}

/* The accept queue of a Unix listener was full: leave it some time. */
static void pause_for_queue(struct connector *c)
{
    if (c->queue_full)
        nanosleep(&(struct timespec){.tv_nsec = QUEUE_PAUSE_NS}, NULL);
    c->queue_full = false;
}

static int connect_loop(struct connector *c, struct failure *fail)
{
    int err;

    while (c->up < c->wanted) {
        for (unsigned n = 0; n < POLL_EVERY && may_start(c); n++)
            if ((err = attempt_start(c, fail)) < 0)
                return err;
        pause_for_queue(c);
        /* Wait only when nothing more may be started: half the shortest patience at a time. */
        if ((err = await_events(c, !may_start(c) && c->in_flight ? 10 : 0, fail)) < 0)
            return err;
    }
    return 0;
}

static int watch_end(struct connector *c, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data.u32 = tag};

    return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Those of this call. */
static void close_all(struct connector *c)
{
    for (struct attempt *slot = c->attempts; slot < c->attempts + WINDOW_MAX; slot++)
        if (slot->fd >= 0) {
            tls_free(slot->tls);
            close(slot->fd);
        }
    for (uint32_t i = 0; i < c->wanted - c->before; i++) {
        if (c->fds[i] < 0)
            continue;
        if (c->sessions) {
            tls_free(c->sessions[i]);
            c->sessions[i] = NULL;
        }
        close(c->fds[i]);
    }
}

/* Ready all targets, with their sources. Returns 0 or a negative errno, *failed being the one. */
static int targets_init(struct connector *c, const struct target **failed)
{
    const struct address_list *listed = c->job->targets;
    int err = 0;

    while (err == 0 && c->target_count < listed->count) {
        struct target *target = &c->targets[c->target_count];

        *target = (struct target){
            .address = listed->items[c->target_count],
            .next = c->target_count,
        };
        *failed = target;
        c->target_count++; /* also of one that failed: what it has is freed */
        err = sources_init(&target->sources, &target->address, c->job->sources);
    }
    return err;
}

static int connector_init(struct connector *c, struct failure *fail)
{
    const struct connect_job *job = c->job;
    const struct target *target = c->targets;
    int err = targets_init(c, &target);

    if (err < 0)
        return connect_failure(c, target, fail, "bind", -err);
    if ((c->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return connect_failure(c, target, fail, "epoll_create1", errno);
    if ((err = watch_end(c, job->control_fd, EPOLLRDHUP, TAG_CONTROL)) < 0 ||
        (err = watch_end(c, job->stop_fd, EPOLLIN, TAG_STOP)) < 0)
        return connect_failure(c, target, fail, "epoll_ctl", -err);
    return 0;
}

int connect_open(struct connector **out, const struct connect_job *job, struct failure *fail)
{
    struct connector *c = calloc(1, sizeof *c);
    int err;

    if (c)
        c->targets = calloc(job->targets->count, sizeof *c->targets);
    if (!c || !c->targets) {
        free(c);
        return failure_set(fail, "internal", ENOMEM, "no memory to connect with");
    }
    c->job = job;
    c->window = WINDOW_START;
    c->epoll_fd = -1;
    for (unsigned i = 0; i < WINDOW_MAX; i++)
        c->attempts[i].fd = -1;
    if ((err = connector_init(c, fail)) < 0)
        connect_close(c);
    else
        *out = c;
    return err;
}

int connect_more(struct connector *c, uint32_t count, int *fds, struct tls **sessions,
                 struct failure *fail)
{
    int err;

    c->fds = fds;
    c->sessions = c->job->tls ? sessions : NULL;
    c->before = c->up;
    c->wanted = c->up + count;
    for (uint32_t i = 0; i < count; i++)
        fds[i] = -1;
    c->progress_ns = clock_now_ns();
    if ((err = connect_loop(c, fail)) < 0)
        close_all(c);
    return err;
}

struct handshakes connect_handshakes(const struct connector *c)
{
    return c->handshakes;
}

void connect_close(struct connector *c)
{
    if (!c)
        return;
    if (c->epoll_fd >= 0)
        close(c->epoll_fd);
    for (unsigned i = 0; i < c->target_count; i++)
        sources_free(&c->targets[i].sources);
    free(c->targets);
    free(c);
}
