/* crew.c - see crew.h. */
#define _GNU_SOURCE
#include "crew.h"

#include "clock.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const char NO_FILES_REMEDY[] = "raise the open-files limit of the load server (ulimit -n)";

enum { DESCRIPTORS_A_THREAD = 2 }; /* the engine's own, and what wakes it */

static int descriptor_failure(struct failure *fail, int err, const char *call)
{
    bool no_files = err == EMFILE || err == ENFILE;

    return failure_set(fail, no_files ? "no_files" : "internal", err, "%s: %s; %s", call,
                       strerror(err), no_files ? NO_FILES_REMEDY : "see the load server's machine");
}

/* ---- before the first connection ----------------------------------------------------------- */

/* Unless the request says how many: as many as have room for all connections. */
static unsigned threads_wanted(const struct request *request, unsigned least)
{
    uint32_t conns = request->conns, tables = files_tables(conns + request->idle);
    unsigned wanted = request->threads;

    if (!wanted)
        wanted = tables < CONTROL_THREADS_MAX ? tables : CONTROL_THREADS_MAX;
    if (!request->threads && wanted < least)
        wanted = least;
    return wanted < conns ? wanted : conns;
}

/* Connections of a thread. */
static uint32_t share_of(const struct crew *crew, unsigned index)
{
    uint32_t conns = crew->plan.request->conns;

    return conns / crew->wanted + (index < conns % crew->wanted);
}

/* Idle ones of a thread; whoever has a connection more has rather not an idle one more as well. */
static uint32_t idle_of(const struct crew *crew, unsigned index)
{
    uint32_t idle = crew->plan.request->idle;

    return idle / crew->wanted + (index >= crew->wanted - idle % crew->wanted);
}

/* What the thread that has most has to open. */
static uint32_t largest_share(const struct crew *crew)
{
    uint32_t all = crew->plan.request->conns + crew->plan.request->idle;

    return all / crew->wanted + (all % crew->wanted != 0);
}

static int check_room(const struct crew *crew, struct failure *fail)
{
    const struct request *request = crew->plan.request;
    uint32_t tables = files_tables(request->conns + request->idle);
    char remedy[sizeof NO_FILES_REMEDY + 32];

    if (largest_share(crew) <= files_room())
        return 0;
    snprintf(remedy, sizeof remedy, "threads=%u would do, or ", (unsigned)tables);
    return failure_set(
        fail, "no_files", EMFILE,
        "%u connections in %u ping threads: each has open files for %u; %s%s",
        (unsigned)(request->conns + request->idle), crew->wanted, (unsigned)files_room(),
        tables <= CONTROL_THREADS_MAX && tables <= request->conns ? remedy : "", NO_FILES_REMEDY);
}

static void release_reserved(struct crew *crew, unsigned count)
{
    while (count-- > 0 && crew->reserved_count > 0)
        close(crew->reserved[--crew->reserved_count]);
}

/* What the ping threads will open: with too few left, that shall show before anybody connects. */
static int reserve_descriptors(struct crew *crew, struct failure *fail)
{
    unsigned wanted = DESCRIPTORS_A_THREAD * crew->wanted;

    crew->reserved = malloc(wanted * sizeof *crew->reserved);
    if (!crew->reserved)
        return failure_set(fail, "internal", ENOMEM, "no memory for %u descriptors", wanted);
    while (crew->reserved_count < wanted) {
        int fd = fcntl(crew->done_fd, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
            return failure_set(fail, "no_files", errno, "no open files left for %u threads: %s; %s",
                               crew->wanted, strerror(errno), NO_FILES_REMEDY);
        crew->reserved[crew->reserved_count++] = fd;
    }
    return 0;
}

static void close_held(struct crew *crew)
{
    while (crew->held_count > 0)
        close(crew->fds[--crew->held_count]);
}

/* Fill in what can be said before the pinging starts. */
static void make_plan(struct plan *plan, const struct request *request)
{
    plan->request = request;
    plan->paced = request->rate || request->think_max_ns;
    plan->turns = request->turns;
    if (request->rate)
        plan->interval_ns = (request->conns * NS_PER_S + request->rate / 2) / request->rate;
    if (request->rate && plan->interval_ns == 0)
        plan->interval_ns = 1; /* faster than any clock: everything is late */
}

static int prepare(struct crew *crew, struct failure *fail)
{
    uint32_t conns = crew->plan.request->conns;
    int err;

    if ((err = check_room(crew, fail)) < 0)
        return err;
    crew->fds = malloc(largest_share(crew) * sizeof *crew->fds);
    crew->idle = calloc(crew->plan.request->idle, sizeof *crew->idle);
    crew->conns = calloc(conns, sizeof *crew->conns);
    crew->threads = calloc(crew->wanted, sizeof *crew->threads);
    if (crew->plan.request->tls)
        crew->sessions = calloc(conns + crew->plan.request->idle, sizeof *crew->sessions);
    if (!crew->fds || !crew->conns || !crew->threads || (crew->plan.request->idle && !crew->idle) ||
        (crew->plan.request->tls && !crew->sessions))
        return failure_set(fail, "internal", ENOMEM, "no memory for %u connections",
                           (unsigned)conns);
    crew->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (crew->done_fd < 0)
        return descriptor_failure(fail, errno, "eventfd");
    return reserve_descriptors(crew, fail);
}

int crew_open(struct crew **out, const struct request *request, const struct engine *engine,
              unsigned threads, struct failure *fail)
{
    struct crew *crew = calloc(1, sizeof *crew);
    int err;

    if (!crew)
        return failure_set(fail, "internal", ENOMEM, "no memory for %u connections",
                           (unsigned)request->conns);
    make_plan(&crew->plan, request);
    crew->engine = engine;
    crew->wanted = threads_wanted(request, threads);
    crew->done_fd = -1;
    pthread_mutex_init(&crew->gate, NULL);
    pthread_cond_init(&crew->opened_gate, NULL);
    pthread_cond_init(&crew->arrival, NULL);
    if ((err = prepare(crew, fail)) < 0) {
        crew_close(crew);
        return err;
    }
    *out = crew;
    return 0;
}

/* ---- a ping thread ------------------------------------------------------------------------- */

/* Sleep until the turn of that number begins. Returns whether it does: not when there is none. */
static bool await_turn(struct crew *crew, uint64_t turn)
{
    bool begins;

    pthread_mutex_lock(&crew->gate);
    while (crew->turn < turn && !crew->over)
        pthread_cond_wait(&crew->opened_gate, &crew->gate);
    begins = !crew->over;
    pthread_mutex_unlock(&crew->gate);
    return begins;
}

static void end_part(struct crew *crew)
{
    uint64_t one = 1;

    pthread_mutex_lock(&crew->gate);
    crew->ended++;
    pthread_mutex_unlock(&crew->gate);
    (void)!write(crew->done_fd, &one, sizeof one);
}

/* Bring the connections into a table of this thread's own, which they share with what this thread
 * is woken by and tells its end with. */
static bool take_apart(const struct ping_thread *self)
{
    const struct pinger *pinger = &self->pinger;
    uint32_t count = 0;
    int *kept = malloc((pinger->count + self->idle_count + 2) * sizeof *kept);
    bool apart;

    if (!kept)
        return false; /* the common table does as well, as long as it has room */
    for (uint32_t i = 0; i < pinger->count; i++)
        kept[count++] = pinger->conns[i].fd;
    for (uint32_t i = 0; i < self->idle_count; i++)
        kept[count++] = self->idle[i];
    kept[count++] = pinger->wake_fd;
    kept[count++] = self->crew->done_fd;
    apart = files_own(kept, count);
    free(kept);
    return apart;
}

static void arrive(struct ping_thread *self)
{
    pthread_mutex_lock(&self->crew->gate);
    self->arrived = true;
    pthread_cond_signal(&self->crew->arrival);
    pthread_mutex_unlock(&self->crew->gate);
}

/* Wait until the thread has the connections, and an engine to ping on them. */
static void await_arrival(struct ping_thread *thread)
{
    struct crew *crew = thread->crew;

    pthread_mutex_lock(&crew->gate);
    while (!thread->arrived)
        pthread_cond_wait(&crew->arrival, &crew->gate);
    pthread_mutex_unlock(&crew->gate);
}

/* Nobody else can close these. */
static void close_conns(struct pinger *pinger)
{
    for (uint32_t i = 0; i < pinger->count; i++)
        conn_close(pinger, &pinger->conns[i]);
}

/* Idle connections are looked at when all is over, so that they cost the pinging nothing: each must
 * be open still, and nothing may have come on it; over TLS there may be tickets of the session. */
static void end_idle(struct ping_thread *self)
{
    char byte;

    for (uint32_t i = 0; i < self->idle_count; i++) {
        ssize_t n = recv(self->idle[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN) || (n > 0 && !self->pinger.sessions))
            self->idle_lost++;
        shutdown(self->idle[i], SHUT_RDWR);
        close(self->idle[i]);
    }
}

static void run_on(int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *thread_main(void *argument)
{
    struct ping_thread *self = argument;
    struct crew *crew = self->crew;

    run_on(self->pinger.cpu);
    self->apart = take_apart(self);
    self->err = crew->engine->open(&self->pinger);
    arrive(self);
    for (uint64_t turn = 1; self->err == 0 && await_turn(crew, turn); turn++) {
        pinger_begin(&self->pinger);
        self->err = crew->engine->run(&self->pinger, &self->call);
        if (self->err < 0) /* then the others' work is for nothing; they are not in this table */
            atomic_store(&crew->plan.abandoned, true);
        end_part(crew);
    }
    end_idle(self);
    close_conns(&self->pinger);
    crew->engine->close(&self->pinger);
    return NULL;
}

/* ---- starting them ------------------------------------------------------------------------- */

/* The index-th CPU that this process may run on, when there are as many as threads; else -1. */
static int cpu_for_thread(unsigned index, unsigned threads)
{
    cpu_set_t set;

    if (threads == 1 || sched_getaffinity(0, sizeof set, &set) < 0 ||
        (unsigned)CPU_COUNT(&set) < threads)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set) && index-- == 0)
            return cpu;
    return -1;
}

static int engine_failure(const struct crew *crew, struct failure *fail, int err)
{
    char what[32];

    snprintf(what, sizeof what, "engine %s", crew->engine->name);
    if (err == ENOSYS)
        return failure_set(fail, "unsupported", err, "%s: %s", what, strerror(err));
    if (err == ENOMEM)
        return failure_set(fail, "internal", err, "%s: %s; free some, %s", what, strerror(err),
                           "or raise the limit of locked memory (ulimit -l)");
    return descriptor_failure(fail, err, what);
}

/* The first ones of what is held are the thread's idle ones, the others its connections. */
static void deal_out(struct crew *crew, struct ping_thread *thread, struct conn *conns,
                     uint32_t share)
{
    thread->idle = crew->idle + crew->idle_dealt;
    thread->idle_count = crew->held_count - share;
    crew->idle_dealt += thread->idle_count;
    for (uint32_t i = 0; i < thread->idle_count; i++)
        thread->idle[i] = crew->fds[i];
    for (uint32_t i = 0; i < share; i++)
        conns[i].fd = crew->fds[thread->idle_count + i];
}

/* Number a thread's share of the connections. The threads take the numbers in turns: in an open
 * loop the schedule goes by them, and every thread shall always have its part of the rate. */
static void number_conns(struct conn *conns, uint32_t share, unsigned index, unsigned threads)
{
    for (uint32_t i = 0; i < share; i++)
        conns[i].id = i * threads + index;
}

/* Start the thread of that index on what is held, which from then on is the thread's: the copies
 * here are closed, unless its table is this one. */
static int start_thread(struct crew *crew, unsigned index, struct failure *fail)
{
    struct ping_thread *thread = &crew->threads[index];
    int err = pthread_create(&thread->thread, NULL, thread_main, thread);

    if (err)
        return failure_set(fail, "internal", err, "pthread_create: %s", strerror(err));
    crew->started++;
    await_arrival(thread);
    if (!thread->apart)
        crew->held_count = 0;
    close_held(crew);
    return thread->err < 0 ? engine_failure(crew, fail, -thread->err) : 0;
}

static int open_share(struct crew *crew, struct connector *connector, unsigned index,
                      struct conn *conns, struct failure *fail)
{
    struct ping_thread *thread = &crew->threads[index];
    struct tls **sessions = NULL;
    uint32_t share = share_of(crew, index), idle = idle_of(crew, index);
    uint64_t start_ns = clock_now_ns();
    int err;

    if (crew->sessions)
        sessions = crew->sessions + (conns - crew->conns) + crew->idle_dealt;
    if ((err = connect_more(connector, idle + share, crew->fds, sessions, fail)) < 0)
        return err;
    crew->connect_ns += clock_now_ns() - start_ns;
    crew->held_count = idle + share;
    deal_out(crew, thread, conns, share);
    number_conns(conns, share, index, crew->wanted);
    release_reserved(crew, DESCRIPTORS_A_THREAD);
    thread->crew = crew;
    crew->opened++;
    if ((err = pinger_init(&thread->pinger, &crew->plan, conns, share, index)) < 0)
        return engine_failure(crew, fail, -err);
    thread->pinger.sessions = sessions ? sessions + idle : NULL;
    thread->pinger.cpu = cpu_for_thread(index, crew->wanted);
    return start_thread(crew, index, fail);
}

int crew_start(struct crew *crew, const struct connect_job *job, struct failure *fail)
{
    struct connector *connector;
    uint32_t first = 0;
    int err;

    if ((err = connect_open(&connector, job, fail)) < 0)
        return err;
    for (unsigned i = 0; err == 0 && i < crew->wanted; i++) {
        err = open_share(crew, connector, i, crew->conns + first, fail);
        first += share_of(crew, i);
    }
    crew->handshakes = connect_handshakes(connector);
    connect_close(connector);
    return err;
}

void crew_add_listeners(const struct crew *crew, struct listener *listeners, unsigned count)
{
    for (unsigned t = 0; t < crew->started; t++) {
        const struct ping_thread *thread = &crew->threads[t];
        const struct pinger *pinger = &thread->pinger;
        /* those before it, pinged or not, and its own idle ones: see connect_more */
        uint32_t place = (uint32_t)(pinger->conns - crew->conns) +
                         (uint32_t)(thread->idle - crew->idle) + thread->idle_count;

        for (uint32_t i = 0; i < pinger->count; i++) {
            struct listener *listener = &listeners[(place + i) % count];

            listener->conns++;
            listener->messages += pinger->conns[i].messages;
        }
    }
}

/* ---- turns --------------------------------------------------------------------------------- */

void crew_begin(struct crew *crew, const struct turn *turn)
{
    struct plan *plan = &crew->plan;

    pthread_mutex_lock(&crew->gate);
    for (unsigned i = 0; i < crew->started; i++)
        crew->threads[i].pinger.latency.max_ns = 0; /* each turn has its own */
    plan->began_ns = clock_now_ns();
    plan->window_begin_ns = plan->began_ns + turn->settle_ns;
    atomic_store(&plan->window_end_ns, plan->window_begin_ns + turn->window_ns);
    crew->ended = 0;
    crew->turn++;
    pthread_cond_broadcast(&crew->opened_gate);
    pthread_mutex_unlock(&crew->gate);
}

bool crew_has_ended(struct crew *crew)
{
    uint64_t count;
    bool ended;

    (void)!read(crew->done_fd, &count, sizeof count);
    pthread_mutex_lock(&crew->gate);
    ended = crew->ended == crew->started;
    pthread_mutex_unlock(&crew->gate);
    return ended;
}

void crew_wake(struct crew *crew)
{
    uint64_t one = 1;

    for (unsigned i = 0; i < crew->started; i++)
        (void)!write(crew->threads[i].pinger.wake_fd, &one, sizeof one);
}

void crew_end_window(struct crew *crew)
{
    atomic_store(&crew->plan.window_end_ns, clock_now_ns());
    crew_wake(crew);
}

/* The threads leave their engines at once. */
static void abandon(struct crew *crew)
{
    atomic_store(&crew->plan.abandoned, true);
    crew_wake(crew);
}

void crew_abandon(struct crew *crew)
{
    struct pollfd done = {.fd = crew->done_fd, .events = POLLIN};

    abandon(crew);
    while (!crew_has_ended(crew))
        poll(&done, 1, -1);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void join_threads(struct crew *crew)
{
    pthread_mutex_lock(&crew->gate);
    crew->over = true;
    pthread_cond_broadcast(&crew->opened_gate);
    pthread_mutex_unlock(&crew->gate);
    while (crew->joined < crew->started)
        pthread_join(crew->threads[crew->joined++].thread, NULL);
}

int crew_join(struct crew *crew, struct failure *fail)
{
    join_threads(crew);
    for (unsigned i = 0; i < crew->started; i++) {
        const struct ping_thread *thread = &crew->threads[i];

        if (thread->err == 0)
            continue;
        failure_set(fail, "internal", -thread->err,
                    "engine %s: %s: %s; see the load server's machine", crew->engine->name,
                    thread->call, strerror(-thread->err));
        fail->call = thread->call;
        return thread->err;
    }
    return 0;
}

void crew_close(struct crew *crew)
{
    if (!crew)
        return;
    abandon(crew); /* if they have not left: nobody waits for them any more */
    join_threads(crew);
    close_held(crew);
    for (unsigned i = 0; i < crew->opened; i++)
        pinger_free(&crew->threads[i].pinger);
    if (crew->done_fd >= 0)
        close(crew->done_fd);
    release_reserved(crew, crew->reserved_count);
    if (crew->sessions)
        for (uint32_t i = 0; i < crew->plan.request->conns + crew->plan.request->idle; i++)
            tls_free(crew->sessions[i]); /* those that no thread took over, and idle ones */
    free(crew->sessions);
    free(crew->reserved);
    free(crew->fds);
    free(crew->idle);
    free(crew->conns);
    free(crew->threads);
    pthread_mutex_destroy(&crew->gate);
    pthread_cond_destroy(&crew->opened_gate);
    pthread_cond_destroy(&crew->arrival);
    free(crew);
}
