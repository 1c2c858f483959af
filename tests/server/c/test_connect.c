/* A connector against a listener that accepts slowly, and one that never does: its patience is for
 * the next connection, not for the whole. */
#include "check.h"
#include "clock.h"
#include "connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CONNS = 16 };

static const uint64_t ACCEPT_EVERY_NS = 100 * NS_PER_MS;
static const uint64_t STALL_NS = 800 * NS_PER_MS;

static struct address_list targets = {.count = 1};

static int listen_narrowly(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    struct address *target = &targets.items[0];

    target->len = sizeof at;
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 0) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&target->sa, &target->len) == 0);
    return fd;
}

/* tls: NULL for plain connections. */
static int connect_to_it(struct tls_context *tls, struct failure *fail)
{
    static const struct address_list none;
    struct tls *sessions[CONNS] = {NULL};
    int fds[CONNS];
    int stop = eventfd(0, 0), control[2];
    struct connector *connector = NULL;
    int err;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, control) == 0);
    err = connect_open(&connector,
                       &(struct connect_job){.targets = &targets,
                                             .sources = &none,
                                             .tls = tls,
                                             .conns = CONNS,
                                             .stall_ns = STALL_NS,
                                             .control_fd = control[0],
                                             .stop_fd = stop},
                       fail);
    CHECK(err == 0);
    for (int first = 0; err == 0 && first < CONNS; first += CONNS / 2) /* two calls */
        err = connect_more(connector, CONNS / 2, fds + first, sessions + first, fail);
    connect_close(connector);
    for (int i = 0; err == 0 && i < CONNS; i++)
        close(fds[i]);
    close(control[0]);
    close(control[1]);
    close(stop);
    return err;
}

static void *accept_slowly(void *argument)
{
    struct timespec pause = {.tv_nsec = (long)ACCEPT_EVERY_NS};

    for (int i = 0; i < CONNS; i++) {
        nanosleep(&pause, NULL);
        close(accept(*(int *)argument, NULL, NULL));
    }
    return NULL;
}

static void check_slow(void)
{
    int listener = listen_narrowly();
    uint64_t start_ns = clock_now_ns();
    struct failure fail = {0};
    pthread_t thread;

    pthread_create(&thread, NULL, accept_slowly, &listener);
    CHECK(connect_to_it(NULL, &fail) == 0);
    if (*fail.msg)
        puts(fail.msg);
    CHECK(clock_now_ns() - start_ns > STALL_NS); /* else the listener was not slow enough */
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

static void check_stalled(void)
{
    int listener = listen_narrowly();
    uint64_t start_ns = clock_now_ns();
    struct failure fail = {0};

    CHECK(connect_to_it(NULL, &fail) == -ETIMEDOUT);
    CHECK(fail.code && strcmp(fail.code, "timeout") == 0);
    CHECK(fail.up >= 1 && fail.up < CONNS);
    CHECK(clock_now_ns() - start_ns >= STALL_NS);
    CHECK(clock_now_ns() - start_ns < 10 * STALL_NS);
    close(listener);
}

/* TLS where nobody answers: it is accepted by the kernel, and no handshake comes to its end. */
static void check_unanswered(void)
{
    static const uint8_t pin[TLS_PIN_BYTES];
    struct tls_context *tls = tls_context_new(pin);
    int listener = listen_narrowly();
    struct failure fail = {0};

    CHECK(tls && listen(listener, CONNS) == 0);
    CHECK(connect_to_it(tls, &fail) == -ETIMEDOUT);
    CHECK(fail.code && strcmp(fail.code, "timeout") == 0 && fail.up == 0);
    CHECK(strstr(fail.msg, "TLS handshake with 127.0.0.1:") && strstr(fail.msg, ": no answer"));
    close(listener);
    tls_context_free(tls);
}

int main(void)
{
    check_slow();
    check_stalled();
    if (!tls_unavailable())
        check_unanswered();
    return checks_report();
}
