/* session.c - one test from request to result. Read run_stages first: it is the table of contents.
 *
 * Place: main.c starts a session when a request has come; the session calls control.c for the wire
 * format, connect.c for the connections, and an engine (engine.h) for the pinging.
 * Threads: runs in the session's thread, and owns the ping threads it starts. These have a table of
 * descriptors each (files.h): the session connects a thread's share, starts the thread, and closes
 * its own copies once the thread has them. From then on the sockets are that thread's, their
 * numbers mean nothing here and are free for the next share.
 */
#define _GNU_SOURCE
#include "session.h"

#include "clock.h"
#include "connect.h"
#include "engine.h"
#include "files.h"
#include "pinger.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t CONNECT_STALL_NS = 30 * NS_PER_S;
static const uint64_t READY_DEADLINE_NS = 120 * NS_PER_S;
static const uint64_t TURN_DEADLINE_NS = 600 * NS_PER_S; /* between two turns */
static const uint64_t PROGRESS_NS = NS_PER_S;
static const char NO_FILES_REMEDY[] = "raise the open-files limit of the load server (ulimit -n)";

enum {
    WRONG_TOKEN_MS = 100,
    DESCRIPTORS_A_THREAD = 2, /* the engine's own, and what wakes it */
};

/* A ping thread and what it works on. */
struct ping_thread {
    pthread_t thread;
    struct pinger pinger;
    struct test *test;
    bool arrived;     /* under the gate: it waits for turns, or has failed to come so far */
    bool apart;       /* it has a table of its own; valid once it has arrived */
    const char *call; /* static: what failed in the engine's loop; NULL: to open it */
    int err;          /* a negative errno: it failed; valid when it has arrived, or ended */
};

/* One test while it runs. */
struct test {
    struct session *session;
    struct request request;
    const struct engine *engine;
    struct conn *conns;  /* request.conns of them */
    int *fds;            /* owned: of the share that is being opened, held_count of them open */
    uint32_t held_count; /* in this table, and closed by whoever gives up */
    struct plan plan;
    struct ping_thread *threads;
    unsigned thread_count; /* asked for */
    unsigned opened;       /* whose pinger was initialised */
    unsigned started;      /* whose thread runs */
    unsigned joined;       /* whose thread has ended */
    int done_fd;           /* eventfd: a thread has ended its part of the turn */
    int *reserved;         /* descriptors that keep numbers free for the threads; owned */
    unsigned reserved_count;
    uint64_t marked_ns; /* up to here the window's slices have been told */
    bool stop_asked;    /* the client wants the result now */

    /* where the threads wait for a turn, asleep; a test without turns is one */
    pthread_mutex_t gate; /* of the members up to the next line; the plan is changed under it */
    pthread_cond_t opened_gate;
    pthread_cond_t arrival;
    uint64_t turn;  /* the one that is on, or was last, from 1 */
    unsigned ended; /* threads that have done their part of it */
    bool over;      /* there is no other: threads leave */

    struct turn_outcome told; /* what all turns until now have added up to */
    uint64_t latency_max_ns;  /* of these */
    struct outcome outcome;
};

/* ---- the stages --------------------------------------------------------------------------- */

static void change_state(struct session *session, enum session_state state)
{
    uint64_t one = 1;

    atomic_store(&session->state, state);
    (void)!write(session->changed_fd, &one, sizeof one);
}

static int descriptor_failure(struct failure *fail, int err, const char *call)
{
    bool no_files = err == EMFILE || err == ENFILE;

    return failure_set(fail, no_files ? "no_files" : "internal", err, "%s: %s; %s", call,
                       strerror(err), no_files ? NO_FILES_REMEDY : "see the load server's machine");
}

/* This client may have what it wants. */
static int enter(struct test *test)
{
    change_state(test->session, SESSION_RUNNING);
    return 0;
}

static int choose_engine(struct test *test, struct failure *fail)
{
    const char *asked = test->request.engine;
    const struct engine *found = engine_find(*asked ? asked : test->session->config->engine);
    const char *why;

    if (!found)
        return failure_set(fail, "unsupported", EINVAL,
                           "engine=%s: there are epoll, uring and null", asked);
    if ((why = found->unavailable()))
        return failure_set(fail, "unsupported", ENOSYS, "engine %s: %s", found->name, why);
    if (test->request.kernel_times && !found->kernel_times)
        return failure_set(fail, "unsupported", ENOSYS,
                           "timestamps=kernel: the engine %s cannot; use epoll", found->name);
    test->engine = found;
    return 0;
}

static int read_request(struct test *test, struct failure *fail)
{
    struct session *session = test->session;
    size_t used;
    int err;

    control_shape(session->talk.input, session->talk.length, &used);
    if ((err = control_parse(&test->request, session->talk.input, used, fail)) < 0)
        return err;
    talk_drop(&session->talk, used);
    session->talk.deaf = test->request.version == 1;
    return 0;
}

/* Takes as long whichever byte is the first that differs. given is padded with zeros. */
static bool same_token(const char *known, const char given[CONTROL_TOKEN_MAX + 1])
{
    char padded[CONTROL_TOKEN_MAX + 1] = {0};
    volatile unsigned differing = 0;

    snprintf(padded, sizeof padded, "%s", known); /* not longer: see options.c */
    for (size_t i = 0; i < sizeof padded; i++)
        differing |= (unsigned)(padded[i] ^ given[i]);
    return differing == 0;
}

static int check_token(const struct test *test, struct failure *fail)
{
    struct session *session = test->session;
    struct pollfd stop = {.fd = session->talk.stop_fd, .events = POLLIN};

    if (!session->config->token || same_token(session->config->token, test->request.token))
        return 0;
    if (*test->request.token) /* a guess, ten a second at most: nobody else is heard meanwhile */
        poll(&stop, 1, WRONG_TOKEN_MS);
    return failure_set(fail, "forbidden", EACCES,
                       "this server asks for a token: set PYBENCH_TOKEN as it has it");
}

/* A load generator that connects wherever a stranger says is a weapon: see address_may_target. */
static int check_permission(struct test *test, struct failure *fail)
{
    const struct session_config *config = test->session->config;
    struct address peer = {.len = sizeof peer.sa};
    char from[ADDRESS_TEXT], to[ADDRESS_TEXT];
    int err;

    if ((err = check_token(test, fail)) < 0)
        return err;
    if (getpeername(test->session->talk.fd, (struct sockaddr *)&peer.sa, &peer.len) < 0)
        return -ECANCELED;
    address_unmap(&peer);
    if (test->request.version == 1 && address_is_any(&test->request.target))
        address_set_host(&test->request.target, &peer); /* it told us what it binds to */
    address_complete(&test->request.target, &peer);
    if (address_may_target(&peer, &test->request.target, &config->allow))
        return 0;
    return failure_set(fail, "forbidden", EACCES,
                       "a client at %s may not have connections opened to %s; start the server "
                       "with --allow %s to permit it",
                       address_print(&peer, false, from),
                       address_print(&test->request.target, false, to), to);
}

/* Unless the request says how many: as many as have room for all connections. */
static unsigned threads_wanted(const struct test *test)
{
    uint32_t conns = test->request.conns, tables = files_tables(conns);
    unsigned wanted = test->request.threads;

    if (!wanted)
        wanted = tables < CONTROL_THREADS_MAX ? tables : CONTROL_THREADS_MAX;
    if (!test->request.threads && wanted < test->session->config->threads)
        wanted = test->session->config->threads;
    return wanted < conns ? wanted : conns;
}

/* Connections of a thread. */
static uint32_t share_of(const struct test *test, unsigned index)
{
    uint32_t conns = test->request.conns;

    return conns / test->thread_count + (index < conns % test->thread_count);
}

static int check_room(const struct test *test, struct failure *fail)
{
    uint32_t tables = files_tables(test->request.conns);
    char remedy[sizeof NO_FILES_REMEDY + 32];

    if (share_of(test, 0) <= files_room())
        return 0;
    snprintf(remedy, sizeof remedy, "threads=%u would do, or ", (unsigned)tables);
    return failure_set(fail, "no_files", EMFILE,
                       "%u connections in %u ping threads: each has open files for %u; %s%s",
                       (unsigned)test->request.conns, test->thread_count, (unsigned)files_room(),
                       tables <= CONTROL_THREADS_MAX ? remedy : "", NO_FILES_REMEDY);
}

static void release_reserved(struct test *test, unsigned count)
{
    while (count-- > 0 && test->reserved_count > 0)
        close(test->reserved[--test->reserved_count]);
}

/* What the ping threads will open: with too few left, that shall show before anybody connects. */
static int reserve_descriptors(struct test *test, struct failure *fail)
{
    unsigned wanted = DESCRIPTORS_A_THREAD * test->thread_count;

    test->reserved = malloc(wanted * sizeof *test->reserved);
    if (!test->reserved)
        return failure_set(fail, "internal", ENOMEM, "no memory for %u descriptors", wanted);
    while (test->reserved_count < wanted) {
        int fd = fcntl(test->session->talk.stop_fd, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
            return failure_set(fail, "no_files", errno, "no open files left for %u threads: %s; %s",
                               test->thread_count, strerror(errno), NO_FILES_REMEDY);
        test->reserved[test->reserved_count++] = fd;
    }
    return 0;
}

static void make_plan(struct plan *plan, const struct request *request);
static int open_share(struct test *test, struct connector *connector, unsigned index,
                      struct conn *conns, struct failure *fail);

static void close_held(struct test *test)
{
    while (test->held_count > 0)
        close(test->fds[--test->held_count]);
}

/* What is needed before the first connection. */
static int prepare(struct test *test, struct failure *fail)
{
    int err;

    test->thread_count = threads_wanted(test);
    if ((err = check_room(test, fail)) < 0)
        return err;
    make_plan(&test->plan, &test->request);
    test->fds = malloc(share_of(test, 0) * sizeof *test->fds);
    test->conns = calloc(test->request.conns, sizeof *test->conns);
    test->threads = calloc(test->thread_count, sizeof *test->threads);
    if (!test->fds || !test->conns || !test->threads)
        return failure_set(fail, "internal", ENOMEM, "no memory for %u connections",
                           (unsigned)test->request.conns);
    test->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (test->done_fd < 0)
        return descriptor_failure(fail, errno, "eventfd");
    return reserve_descriptors(test, fail);
}

/* Open the connections, share by share, each with the thread that will ping on it. */
static int open_connections(struct test *test, struct failure *fail)
{
    const struct session *session = test->session;
    struct connect_job job = {
        .target = &test->request.target,
        .sources = &session->config->sources,
        .conns = test->request.conns,
        .stall_ns = CONNECT_STALL_NS,
        .control_fd = session->talk.fd,
        .stop_fd = session->talk.stop_fd,
    };
    struct connector *connector;
    uint32_t first = 0;
    int err;

    if ((err = prepare(test, fail)) < 0 || (err = connect_open(&connector, &job, fail)) < 0)
        return err;
    for (unsigned i = 0; err == 0 && i < test->thread_count; i++) {
        err = open_share(test, connector, i, test->conns + first, fail);
        first += share_of(test, i);
    }
    connect_close(connector);
    return err;
}

/* Version 2: tell the client that all are up, and wait until its worker has accepted them. */
static int await_ready(struct test *test, struct failure *fail)
{
    struct session *session = test->session;
    uint64_t deadline_ns = clock_now_ns() + READY_DEADLINE_NS;
    char *reply;
    size_t length;
    int err;

    if (test->request.version == 1)
        return 0;
    reply = control_connected(&length, test->request.conns, test->outcome.connect_ns);
    if ((err = talk_send(&session->talk, reply, length)) < 0)
        return err;
    for (;;) {
        switch (talk_next(&session->talk)) {
        case COMMAND_READY:
            return 0;
        case COMMAND_STOP:
            test->stop_asked = true;
            return 0;
        case COMMAND_TURN:
        case COMMAND_UNKNOWN:
            return talk_unexpected(fail, "'ready' or 'stop'");
        case COMMAND_NONE:
            break;
        }
        if (clock_now_ns() >= deadline_ns)
            return failure_set(fail, "timeout", ETIMEDOUT,
                               "no 'ready' came within %llu s of 'connected'",
                               (unsigned long long)(READY_DEADLINE_NS / NS_PER_S));
        if ((err = talk_await(&test->session->talk, deadline_ns, -1, NULL)) < 0)
            return err;
    }
}

/* ---- pinging ------------------------------------------------------------------------------ */

static void wake_threads(struct test *test)
{
    uint64_t one = 1;

    for (unsigned i = 0; i < test->started; i++)
        (void)!write(test->threads[i].pinger.wake_fd, &one, sizeof one);
}

/* Nobody wants the result: the threads leave their engines at once. */
static void abandon(struct test *test)
{
    atomic_store(&test->plan.abandoned, true);
    wake_threads(test);
}

/* Sleep until the turn of that number begins. Returns whether it does: not when there is none. */
static bool await_turn(struct test *test, uint64_t turn)
{
    bool begins;

    pthread_mutex_lock(&test->gate);
    while (test->turn < turn && !test->over)
        pthread_cond_wait(&test->opened_gate, &test->gate);
    begins = !test->over;
    pthread_mutex_unlock(&test->gate);
    return begins;
}

static void end_part(struct test *test)
{
    uint64_t one = 1;

    pthread_mutex_lock(&test->gate);
    test->ended++;
    pthread_mutex_unlock(&test->gate);
    (void)!write(test->done_fd, &one, sizeof one);
}

/* Bring the connections into a table of this thread's own, which they share with what this thread
 * is woken by and tells its end with. */
static bool take_apart(const struct ping_thread *self)
{
    const struct pinger *pinger = &self->pinger;
    int *kept = malloc((pinger->count + 2) * sizeof *kept);
    bool apart;

    if (!kept)
        return false; /* the common table does as well, as long as it has room */
    for (uint32_t i = 0; i < pinger->count; i++)
        kept[i] = pinger->conns[i].fd;
    kept[pinger->count] = pinger->wake_fd;
    kept[pinger->count + 1] = self->test->done_fd;
    apart = files_own(kept, pinger->count + 2);
    free(kept);
    return apart;
}

static void arrive(struct ping_thread *self)
{
    pthread_mutex_lock(&self->test->gate);
    self->arrived = true;
    pthread_cond_signal(&self->test->arrival);
    pthread_mutex_unlock(&self->test->gate);
}

/* Wait until the thread has the connections, and an engine to ping on them. */
static void await_arrival(struct ping_thread *thread)
{
    struct test *test = thread->test;

    pthread_mutex_lock(&test->gate);
    while (!thread->arrived)
        pthread_cond_wait(&test->arrival, &test->gate);
    pthread_mutex_unlock(&test->gate);
}

/* Nobody else can close these. */
static void close_conns(const struct pinger *pinger)
{
    for (uint32_t i = 0; i < pinger->count; i++)
        conn_close(&pinger->conns[i]);
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
    struct test *test = self->test;

    run_on(self->pinger.cpu);
    self->apart = take_apart(self);
    self->err = test->engine->open(&self->pinger);
    arrive(self);
    for (uint64_t turn = 1; self->err == 0 && await_turn(test, turn); turn++) {
        pinger_begin(&self->pinger);
        self->err = test->engine->run(&self->pinger, &self->call);
        if (self->err < 0) /* then the others' work is for nothing; they are not in this table */
            atomic_store(&test->plan.abandoned, true);
        end_part(test);
    }
    close_conns(&self->pinger);
    test->engine->close(&self->pinger);
    return NULL;
}

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

static int engine_failure(const struct test *test, struct failure *fail, int err)
{
    char what[32];

    snprintf(what, sizeof what, "engine %s", test->engine->name);
    if (err == ENOSYS)
        return failure_set(fail, "unsupported", err, "%s: %s", what, strerror(err));
    if (err == ENOMEM)
        return failure_set(fail, "internal", err, "%s: %s; free some, %s", what, strerror(err),
                           "or raise the limit of locked memory (ulimit -l)");
    return descriptor_failure(fail, err, what);
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
static int start_thread(struct test *test, unsigned index, struct failure *fail)
{
    struct ping_thread *thread = &test->threads[index];
    int err = pthread_create(&thread->thread, NULL, thread_main, thread);

    if (err)
        return failure_set(fail, "internal", err, "pthread_create: %s", strerror(err));
    test->started++;
    await_arrival(thread);
    if (!thread->apart)
        test->held_count = 0;
    close_held(test);
    return thread->err < 0 ? engine_failure(test, fail, -thread->err) : 0;
}

static int open_share(struct test *test, struct connector *connector, unsigned index,
                      struct conn *conns, struct failure *fail)
{
    struct ping_thread *thread = &test->threads[index];
    uint32_t share = share_of(test, index);
    uint64_t start_ns = clock_now_ns();
    int err;

    if ((err = connect_more(connector, share, test->fds, fail)) < 0)
        return err;
    test->outcome.connect_ns += clock_now_ns() - start_ns;
    test->held_count = share;
    for (uint32_t i = 0; i < share; i++)
        conns[i].fd = test->fds[i];
    number_conns(conns, share, index, test->thread_count);
    release_reserved(test, DESCRIPTORS_A_THREAD);
    thread->test = test;
    test->opened++;
    if ((err = pinger_init(&thread->pinger, &test->plan, conns, share, index)) < 0)
        return engine_failure(test, fail, -err);
    thread->pinger.cpu = cpu_for_thread(index, test->thread_count);
    return start_thread(test, index, fail);
}

static void begin_turn(struct test *test, const struct turn *turn)
{
    struct plan *plan = &test->plan;

    pthread_mutex_lock(&test->gate);
    for (unsigned i = 0; i < test->started; i++)
        test->threads[i].pinger.latency.max_ns = 0; /* each turn has its own */
    plan->began_ns = clock_now_ns();
    plan->window_begin_ns = plan->began_ns + turn->settle_ns;
    atomic_store(&plan->window_end_ns, plan->window_begin_ns + turn->window_ns);
    test->ended = 0;
    test->turn++;
    pthread_cond_broadcast(&test->opened_gate);
    pthread_mutex_unlock(&test->gate);
}

/* Whether all threads have done their part of the turn. */
static bool turn_has_ended(struct test *test)
{
    uint64_t count;
    bool ended;

    (void)!read(test->done_fd, &count, sizeof count);
    pthread_mutex_lock(&test->gate);
    ended = test->ended == test->started;
    pthread_mutex_unlock(&test->gate);
    return ended;
}

static int send_progress(struct test *test, uint64_t now)
{
    uint64_t messages = 0, alive = 0;
    size_t length;
    char *reply;

    for (unsigned i = 0; i < test->started; i++) {
        messages += atomic_load_explicit(&test->threads[i].pinger.echoes, memory_order_relaxed);
        alive += atomic_load_explicit(&test->threads[i].pinger.alive, memory_order_relaxed);
    }
    reply = control_progress(&length, now - test->plan.began_ns, messages, alive);
    return talk_send(&test->session->talk, reply, length);
}

/* The next boundary of the plan or progress line after now. */
static uint64_t next_deadline(const struct test *test, uint64_t now, uint64_t progress_ns)
{
    uint64_t end_ns = atomic_load(&test->plan.window_end_ns);
    uint64_t then_ns = progress_ns;

    if (test->plan.window_begin_ns > now && test->plan.window_begin_ns < then_ns)
        then_ns = test->plan.window_begin_ns;
    if (end_ns > now && end_ns < then_ns)
        then_ns = end_ns;
    return then_ns;
}

/* The next boundary of the window's slices that the client has not been told; UINT64_MAX: none. */
static uint64_t next_mark(const struct test *test)
{
    uint64_t begin_ns = test->plan.window_begin_ns, slice_ns = test->request.slice_ns;
    uint64_t end_ns = atomic_load(&test->plan.window_end_ns), then_ns;

    if (slice_ns == 0 || end_ns <= begin_ns || test->marked_ns >= end_ns)
        return UINT64_MAX;
    if (test->marked_ns < begin_ns)
        return begin_ns;
    then_ns = begin_ns + ((test->marked_ns - begin_ns) / slice_ns + 1) * slice_ns;
    return then_ns < end_ns ? then_ns : end_ns;
}

/* Tell the client of the last boundary that has passed and that it does not know. */
static int send_mark(struct test *test, uint64_t now)
{
    size_t length;
    char *reply;

    if (next_mark(test) > now)
        return 0;
    for (uint64_t then_ns; (then_ns = next_mark(test)) <= now;)
        test->marked_ns = then_ns;
    reply = control_mark(&length, test->marked_ns - test->plan.window_begin_ns);
    return talk_send(&test->session->talk, reply, length);
}

/* The client said stop: the window ends now. */
static void end_window(struct test *test)
{
    atomic_store(&test->plan.window_end_ns, clock_now_ns());
    wake_threads(test);
}

static int obey_commands(struct test *test, struct failure *fail)
{
    switch (talk_next(&test->session->talk)) {
    case COMMAND_STOP:
        if (!test->stop_asked)
            end_window(test);
        test->stop_asked = true;
        return 0;
    case COMMAND_NONE:
        return 0;
    default:
        return talk_unexpected(fail, "'ready' or 'stop'");
    }
}

/* Keep watch while the threads ping: wake them at the boundaries of the plan, report progress, obey
 * the client. Returns when all threads have ended, or with a reason to end them. A mark comes
 * before what its boundary sets going. */
static int watch_threads(struct test *test, struct failure *fail)
{
    uint64_t began_ns = test->plan.began_ns;
    uint64_t progress_ns = began_ns + PROGRESS_NS;
    uint64_t then_ns = next_deadline(test, began_ns, progress_ns);

    for (;;) {
        uint64_t now, mark_ns = next_mark(test);
        bool some_ended = false;
        int err;

        if ((err = talk_await(&test->session->talk, mark_ns < then_ns ? mark_ns : then_ns,
                              test->done_fd, &some_ended)) < 0 ||
            (err = obey_commands(test, fail)) < 0)
            return err;
        if (some_ended && turn_has_ended(test))
            return send_mark(test, clock_now_ns());
        if (some_ended && atomic_load(&test->plan.abandoned)) /* by one that failed */
            wake_threads(test);
        now = clock_now_ns();
        if ((err = send_mark(test, now)) < 0)
            return err;
        if (now >= then_ns)
            wake_threads(test);
        if (now >= progress_ns) {
            if (test->request.version == 2 && (err = send_progress(test, now)) < 0)
                return err;
            progress_ns += PROGRESS_NS;
        }
        then_ns = next_deadline(test, now, progress_ns);
    }
}

/* Length of the window: as planned, or until the last thread had nothing left to ping. ended_ns:
 * when that was. */
static uint64_t window_length(const struct test *test, uint64_t ended_ns)
{
    uint64_t begin_ns = test->plan.window_begin_ns;
    uint64_t end_ns = atomic_load(&test->plan.window_end_ns);

    if (ended_ns < end_ns)
        end_ns = ended_ns;
    return end_ns > begin_ns ? end_ns - begin_ns : 0;
}

/* What the turn that has ended has added to what there was before. */
static struct turn_outcome turn_outcome(struct test *test)
{
    struct turn_outcome now = {.number = test->turn}, turn;
    uint64_t ended_ns = 0, end_ns = atomic_load(&test->plan.window_end_ns);

    for (unsigned i = 0; i < test->started; i++) {
        const struct pinger *pinger = &test->threads[i].pinger;

        counters_add(&now.counters, &pinger->counters);
        now.messages += pinger->latency.total;
        now.latency_sum_ns += pinger->latency.sum_ns;
        if (pinger->latency.max_ns > now.latency_max_ns)
            now.latency_max_ns = pinger->latency.max_ns;
        if (pinger->ended_ns > ended_ns)
            ended_ns = pinger->ended_ns;
        now.echoes += atomic_load_explicit(&pinger->echoes, memory_order_relaxed);
        now.alive += atomic_load_explicit(&pinger->alive, memory_order_relaxed);
    }
    now.window_ns = window_length(test, ended_ns);
    now.drain_ns = ended_ns > end_ns ? ended_ns - end_ns : 0;
    turn = now;
    counters_subtract(&turn.counters, &test->told.counters);
    turn.messages -= test->told.messages;
    turn.latency_sum_ns -= test->told.latency_sum_ns;
    test->told = now;
    return turn;
}

static void await_rest(struct test *test)
{
    struct pollfd done = {.fd = test->done_fd, .events = POLLIN};

    while (!turn_has_ended(test))
        poll(&done, 1, -1);
}

/* Ping for one turn. On failure the threads may still be at it. */
static int ping_turn(struct test *test, const struct turn *asked, struct turn_outcome *outcome,
                     struct failure *fail)
{
    int err;

    begin_turn(test, asked);
    if ((err = watch_threads(test, fail)) < 0)
        return err;
    *outcome = turn_outcome(test);
    test->outcome.window_ns += outcome->window_ns;
    if (outcome->latency_max_ns > test->latency_max_ns)
        test->latency_max_ns = outcome->latency_max_ns;
    return 0;
}

/* A session that takes turns: the next line of its client. Returns its command, COMMAND_NONE with
 * *err set when there is none. */
static enum control_command await_command(struct test *test, struct turn *turn, int *err,
                                          struct failure *fail)
{
    struct session *session = test->session;
    uint64_t deadline_ns = clock_now_ns() + TURN_DEADLINE_NS;

    for (;;) {
        size_t used;
        enum control_command command =
            control_command(session->talk.input, session->talk.length, &used);

        *err = command == COMMAND_TURN ? control_turn(turn, session->talk.input, used, fail) : 0;
        talk_drop(&session->talk, used);
        if (*err < 0)
            return COMMAND_NONE;
        if (command != COMMAND_NONE)
            return command;
        if (clock_now_ns() >= deadline_ns) {
            *err = failure_set(fail, "timeout", ETIMEDOUT, "no 'turn' came for %llu s",
                               (unsigned long long)(TURN_DEADLINE_NS / NS_PER_S));
            return COMMAND_NONE;
        }
        if ((*err = talk_await(&test->session->talk, deadline_ns, -1, NULL)) < 0)
            return COMMAND_NONE;
    }
}

/* Take one turn, unless another session does; tell the client either way. */
static int take_turn(struct test *test, const struct turn *asked, struct failure *fail)
{
    _Atomic bool *pinging = test->session->pinging;
    struct turn_outcome outcome;
    size_t length;
    char *reply;
    int err;

    if (atomic_exchange(pinging, true)) {
        reply = control_busy(&length);
        return talk_send(&test->session->talk, reply, length);
    }
    err = ping_turn(test, asked, &outcome, fail);
    if (err < 0) {
        abandon(test);
        await_rest(test);
    }
    atomic_store(pinging, false); /* before it is told: whoever hears of it may begin the next */
    if (err < 0)
        return err;
    if (atomic_load(&test->plan.abandoned)) { /* an engine failed: join_threads will say how */
        test->stop_asked = true;
        return 0;
    }
    reply = control_turned(&length, &outcome);
    return talk_send(&test->session->talk, reply, length);
}

/* Turn by turn as the client says, until it says stop. */
static int take_turns(struct test *test, struct failure *fail)
{
    while (!test->stop_asked) {
        struct turn turn;
        int err;

        switch (await_command(test, &turn, &err, fail)) {
        case COMMAND_TURN:
            err = take_turn(test, &turn, fail);
            break;
        case COMMAND_STOP:
            test->stop_asked = true;
            break;
        case COMMAND_NONE:
            break;
        default:
            err = talk_unexpected(fail, "'turn' or 'stop'");
        }
        if (err < 0)
            return err;
    }
    return 0;
}

/* Let the threads leave and wait until they have: every connection is closed then. */
static void join_threads(struct test *test)
{
    pthread_mutex_lock(&test->gate);
    test->over = true;
    pthread_cond_broadcast(&test->opened_gate);
    pthread_mutex_unlock(&test->gate);
    while (test->joined < test->started)
        pthread_join(test->threads[test->joined++].thread, NULL);
}

/* What made an engine fail, 0 if nothing did. */
static int engines_outcome(const struct test *test, struct failure *fail)
{
    for (unsigned i = 0; i < test->started; i++) {
        const struct ping_thread *thread = &test->threads[i];

        if (thread->err == 0)
            continue;
        failure_set(fail, "internal", -thread->err,
                    "engine %s: %s: %s; see the load server's machine", test->engine->name,
                    thread->call, strerror(-thread->err));
        fail->call = thread->call;
        return thread->err;
    }
    return 0;
}

static int ping(struct test *test, struct failure *fail)
{
    const struct turn whole = {test->request.warmup_ns, test->request.runtime_ns};
    struct turn_outcome ignored;
    int err = 0;

    if (!test->stop_asked)
        err =
            test->request.turns ? take_turns(test, fail) : ping_turn(test, &whole, &ignored, fail);
    if (err < 0)
        return err;
    join_threads(test); /* first: a client that has its answer finds every socket closed */
    return engines_outcome(test, fail);
}

/* ---- the result --------------------------------------------------------------------------- */

static void add_up(struct outcome *o, const struct pinger *pinger)
{
    counters_add(&o->counters, &pinger->counters);
    hist_merge(&o->latency, &pinger->latency);
    hist_merge(&o->corrected, &pinger->corrected);
    hist_merge(&o->censored, &pinger->censored);
}

/* The slices of the window as it was: `stop` may have ended it early. An echo that a thread was
 * just recording then is the last one's. */
static int add_slices(struct test *test)
{
    struct outcome *o = &test->outcome;
    uint64_t slice_ns = test->request.slice_ns;

    if (slice_ns == 0 || o->window_ns == 0)
        return 0;
    o->slice_count = (uint32_t)((o->window_ns + slice_ns - 1) / slice_ns);
    o->slices = calloc(o->slice_count, sizeof *o->slices);
    if (!o->slices)
        return -ENOMEM;
    for (unsigned t = 0; t < test->started; t++)
        for (uint32_t i = 0; i < test->threads[t].pinger.slice_count; i++)
            slice_add(&o->slices[i < o->slice_count ? i : o->slice_count - 1],
                      &test->threads[t].pinger.slices[i]);
    return 0;
}

static int send_result(struct test *test, struct failure *fail)
{
    struct outcome *o = &test->outcome;
    uint64_t *counts = malloc(test->request.conns * sizeof *counts);
    char *reply;
    size_t length;

    if (!counts)
        return failure_set(fail, "internal", ENOMEM, "no memory for the result");
    for (uint32_t i = 0; i < test->request.conns; i++)
        counts[i] = test->conns[i].messages;
    o->fairness = fairness_of(counts, test->request.conns);
    free(counts);
    for (unsigned i = 0; i < test->started; i++)
        add_up(o, &test->threads[i].pinger);
    o->latency.max_ns = test->latency_max_ns;
    if (add_slices(test) < 0)
        return failure_set(fail, "internal", ENOMEM, "no memory for the result");
    o->threads = test->turn > 0 ? test->started : 0;
    o->engine = test->engine->name;
    reply = control_result(&length, &test->request, o);
    return talk_send(&test->session->talk, reply, length);
}

/* ---- the session -------------------------------------------------------------------------- */

static int run_stages(struct test *test, struct failure *fail)
{
    int err;

    if ((err = read_request(test, fail)) < 0 ||     /* what is wanted */
        (err = check_permission(test, fail)) < 0 || /* may this client have it */
        (err = enter(test)) < 0 ||                  /* from here on it is a test */
        (err = choose_engine(test, fail)) < 0 ||    /* can it be had here */
        (err = open_connections(test, fail)) < 0 || /* connect to the client under test */
        (err = await_ready(test, fail)) < 0 ||      /* until it has accepted all */
        (err = ping(test, fail)) < 0)               /* warm-up, window, drain */
        return err;
    return send_result(test, fail);
}

static void test_free(struct test *test)
{
    abandon(test); /* if they have not left: nobody waits for them any more */
    join_threads(test);
    close_held(test);
    for (unsigned i = 0; i < test->opened; i++)
        pinger_free(&test->threads[i].pinger);
    if (test->done_fd >= 0)
        close(test->done_fd);
    release_reserved(test, test->reserved_count);
    free(test->reserved);
    free(test->fds);
    free(test->conns);
    free(test->threads);
    free(test->outcome.slices);
    pthread_mutex_destroy(&test->gate);
    pthread_cond_destroy(&test->opened_gate);
    pthread_cond_destroy(&test->arrival);
    free(test);
}

/* One line for the server's log. */
static void summarize(const struct test *test, int err, const struct failure *fail)
{
    char *out = test->session->summary;
    size_t size = sizeof test->session->summary;
    char target[ADDRESS_TEXT], turns[40] = "";

    if (err < 0) {
        snprintf(out, size, "%s", fail->code ? fail->msg : "the control client went away");
        return;
    }
    if (test->request.turns)
        snprintf(turns, sizeof turns, " of %llu turns", (unsigned long long)test->turn);
    snprintf(out, size, "%u connections to %s: %llu messages in %.3f s%s",
             (unsigned)test->request.conns, address_print(&test->request.target, true, target),
             (unsigned long long)test->outcome.latency.total,
             (double)test->outcome.window_ns / (double)NS_PER_S, turns);
}

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}

static void refuse_for_memory(struct session *session)
{
    struct failure fail;
    char *reply;
    size_t length;

    failure_set(&fail, "internal", ENOMEM, "no memory for a test");
    snprintf(session->summary, sizeof session->summary, "%s", fail.msg);
    reply =
        control_refusal(&length, control_version(session->talk.input, session->talk.length), &fail);
    talk_send(&session->talk, reply, length);
}

static void run_test(struct session *session, struct test *test)
{
    struct failure fail = {0};
    char *reply;
    size_t length;
    int err, version;

    test->session = session;
    test->done_fd = -1;
    pthread_mutex_init(&test->gate, NULL);
    pthread_cond_init(&test->opened_gate, NULL);
    pthread_cond_init(&test->arrival, NULL);
    err = run_stages(test, &fail);
    if (err == -ECANCELED && is_readable(session->talk.stop_fd))
        failure_set(&fail, "stopped", 0, "the load server was told to stop");
    summarize(test, err, &fail);
    version = test->request.version;
    test_free(test);
    if (err < 0 && fail.code) {
        reply = control_refusal(&length, version, &fail);
        talk_send(&session->talk, reply, length);
    }
}

void session_run(struct session *session)
{
    struct test *test = calloc(1, sizeof *test); /* holds histograms: too large for the stack */

    if (test)
        run_test(session, test);
    else
        refuse_for_memory(session);
    change_state(session, SESSION_OVER);
}
