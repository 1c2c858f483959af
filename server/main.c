/* main.c - pybench-server: start-up, signals, and the control listener.
 *
 * Place: accepts control clients and hands them to clients.c, which keeps them until their request
 * is whole; sessions.c serves them from there. Threads: the main thread runs all three and never
 * blocks but in poll. Signals are blocked everywhere and read here from a signalfd.
 */
#define _GNU_SOURCE
#include "clients.h"
#include "clock.h"
#include "log.h"
#include "options.h"
#include "sessions.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BACKLOG = 256, DEFAULT_THREADS_MAX = 3, ACCEPT_AGAIN_MS = 100 };

struct server {
    struct options options;
    int listen_fd, signal_fd;
    int parent_fd; /* readable: the parent has ended; -1: nobody asks */
    int spare_fd;  /* given up for a moment to turn a client away when no descriptor is left */
    uint64_t accept_from_ns; /* nobody is accepted before: it has just failed, and would again */
    struct clients clients;
    struct sessions sessions;
};

static _Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void die(const char *format, ...)
{
    va_list args;

    fputs("pybench-server: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* Whoever starts us with a closed stdin, stdout or stderr: what we open must not get its number,
 * else a log line goes into a socket. */
static void open_standard_files(void)
{
    int fd;

    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

/* ---- start-up ----------------------------------------------------------------------------- */

/* A descriptor that is readable when the process that started us has ended, whichever of its
 * threads did and has ended before. Where the kernel has none, or cannot see the parent from here:
 * -1, and a signal comes when that thread ends. */
static int follow_parent(void)
{
    pid_t parent = getppid();
    int fd = (int)syscall(SYS_pidfd_open, parent, 0);

    if (fd < 0)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        exit(0); /* it ended before we could ask to be told */
    return fd;
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static unsigned default_threads(void)
{
    cpu_set_t set;
    unsigned cpus = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpus = (unsigned)CPU_COUNT(&set);
    return cpus < DEFAULT_THREADS_MAX ? cpus : DEFAULT_THREADS_MAX;
}

static int open_listener(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int one = 1, fd;
    int err = getaddrinfo(host, port, &hints, &found);

    if (err)
        die("--listen %s:%s: %s", host, port, gai_strerror(err));
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
        die("bind %s:%s: %s%s", host, port, strerror(errno),
            errno == EADDRINUSE ? "; is another load server running? choose with --listen" : "");
    if (listen(fd, BACKLOG) < 0)
        die("listen %s:%s: %s", host, port, strerror(errno));
    freeaddrinfo(found);
    return fd;
}

static int open_signals(void)
{
    sigset_t set;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        die("signalfd: %s", strerror(errno));
    return fd;
}

static void announce(const struct server *server)
{
    struct address bound = {.len = sizeof bound.sa};
    char text[ADDRESS_TEXT];

    getsockname(server->listen_fd, (struct sockaddr *)&bound.sa, &bound.len);
    printf("listening on %s\n", address_print(&bound, true, text));
    fflush(stdout);
    if (!address_is_loopback(&bound) && !server->options.session.token)
        log_line("warning: on %s it serves whoever reaches it, and loads their addresses%s; "
                 "set PYBENCH_TOKEN here and there, or listen on a trusted network only",
                 text, server->options.session.allow.count ? " and those of --allow" : "");
}

static void server_open(struct server *server)
{
    struct options *options = &server->options;
    int err;

    server->parent_fd = options->die_with_parent ? follow_parent() : -1;
    if (options->has_cpus && sched_setaffinity(0, sizeof options->cpus, &options->cpus) < 0)
        die("--cpus: sched_setaffinity: %s; may this process run on them?", strerror(errno));
    if (options->session.threads == 0)
        options->session.threads = default_threads();
    raise_file_limit();
    server->signal_fd = open_signals();
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    err = sessions_open(&server->sessions, &options->session, &server->clients, options->quiet);
    if (err < 0)
        die("eventfd: %s", strerror(-err));
    server->listen_fd = open_listener(options->host, options->port);
    announce(server);
}

/* ---- the loop ----------------------------------------------------------------------------- */

/* A running test may have taken every descriptor: give up the spare one to turn the client away,
 * else poll would report it for ever. Returns whether that could be done. */
static bool accept_without_files(struct server *server)
{
    struct failure fail;
    struct reply reply;
    int fd;

    if (server->spare_fd >= 0)
        close(server->spare_fd);
    fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    failure_set(&fail, "busy", EMFILE, "the load server has no open files left");
    reply = reply_error(&fail);
    if (fd >= 0 && reply.text)
        (void)!send(fd, reply.text, reply.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(reply.text);
    if (fd >= 0)
        close(fd);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/* A client whose machine or network is gone sends no FIN: find out, whether or not we have anything
 * to send, or its test holds up everybody else until its end. */
static void watch_peer(int fd)
{
    enum { IDLE_S = 5, PROBE_S = 5, PROBES = 3 };
    const int on = 1, idle_s = IDLE_S, probe_s = PROBE_S, probes = PROBES;
    const unsigned unheard_ms = PROBE_S * PROBES * 1000;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof probe_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
}

static void accept_client(struct server *server)
{
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0) {
        watch_peer(fd);
        clients_add(&server->clients, fd);
        if (server->spare_fd < 0)
            server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return;
    if ((errno == EMFILE || errno == ENFILE) && accept_without_files(server))
        return;
    server->accept_from_ns = clock_now_ns() + ACCEPT_AGAIN_MS * NS_PER_MS;
}

static void read_clients(struct server *server, const struct pollfd *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (fds[i].revents && server->clients.items[i].fd == fds[i].fd)
            clients_read(&server->clients, i);
}

/* Milliseconds until something is to be done though nothing happens, -1 for never. */
static int idle_timeout_ms(const struct server *server, uint64_t now_ns)
{
    int timeout_ms = clients_timeout_ms(&server->clients, now_ns);

    if (now_ns < server->accept_from_ns && (timeout_ms < 0 || timeout_ms > ACCEPT_AGAIN_MS))
        return ACCEPT_AGAIN_MS;
    return timeout_ms;
}

/* Wait for something to happen and do it. Returns 1 to go on, 0 when a signal asked the server to
 * end or its parent has, or a negative errno. */
static int serve_once(struct server *server)
{
    enum { SIGNAL, PARENT, LISTENER, CHANGED, CLIENTS };
    uint64_t now = clock_now_ns();
    bool listening = now >= server->accept_from_ns && !sessions_entering(&server->sessions);
    struct pollfd fds[CLIENTS + CLIENTS_MAX] = {
        [SIGNAL] = {.fd = server->signal_fd, .events = POLLIN},
        [PARENT] = {.fd = server->parent_fd, .events = POLLIN},
        [LISTENER] = {.fd = listening ? server->listen_fd : -1, .events = POLLIN},
        [CHANGED] = {.fd = server->sessions.changed_fd, .events = POLLIN},
    };
    unsigned clients = clients_poll(&server->clients, fds + CLIENTS);

    if (poll(fds, CLIENTS + clients, idle_timeout_ms(server, now)) < 0)
        return errno == EINTR || errno == EAGAIN ? 1 : -errno;
    if (fds[SIGNAL].revents || fds[PARENT].revents)
        return 0;
    if (fds[CHANGED].revents)
        sessions_finish(&server->sessions);
    read_clients(server, fds + CLIENTS, clients);
    sessions_serve(&server->sessions);
    if (fds[LISTENER].revents)
        accept_client(server);
    clients_tidy(&server->clients, clock_now_ns());
    return 1;
}

/* Let running tests end with `error code=stopped`, and all clients read it. */
static void server_close(struct server *server)
{
    struct failure stopped;

    sessions_close(&server->sessions);
    failure_set(&stopped, "stopped", 0, "the load server was told to stop");
    clients_close(&server->clients, &stopped);
    close(server->listen_fd);
    close(server->signal_fd);
    if (server->parent_fd >= 0)
        close(server->parent_fd);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
}

int main(int argc, char **argv)
{
    static struct server server; /* holds the clients' buffers: too large for the stack */
    bool served = false;
    int more;

    open_standard_files();
    options_parse(&server.options, argc, argv);
    server_open(&server);
    while ((more = serve_once(&server)) > 0) {
        served = served || server.sessions.first;
        /* --once: leave when the test is over and its client has read the answer */
        if (server.options.once && served && !server.sessions.first && server.clients.count == 0)
            break;
    }
    server_close(&server);
    if (more < 0)
        die("poll: %s", strerror(-more));
    return 0;
}
