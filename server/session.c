/* session.c - one test from request to result. Read run_stages first: it is the table of contents.
 *
 * Place: main.c starts a session when a request has come; the session calls control.c for the wire
 * format, talk.c to speak with its client, and crew.c for the connections and the pinging.
 * Threads: runs in the session's thread; the ping threads that it starts are crew.c's.
 */
#define _GNU_SOURCE
#include "session.h"

#include "clock.h"
#include "connect.h"
#include "crew.h"
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t CONNECT_STALL_NS = 30 * NS_PER_S;
static const uint64_t READY_DEADLINE_NS = 120 * NS_PER_S;
static const uint64_t TURN_DEADLINE_NS = 600 * NS_PER_S; /* between two turns */
static const uint64_t PROGRESS_NS = NS_PER_S;

enum { WRONG_TOKEN_MS = 100 };

/* One test while it runs. */
struct test {
    struct session *session;
    struct request request;
    const struct engine *engine;
    struct crew *crew;  /* owned; NULL until they are wanted */
    uint64_t marked_ns; /* up to here the window's slices have been told */
    bool stop_asked;    /* the client wants the result now */

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

/* Open the connections, with the threads that will ping on them. */
static int open_connections(struct test *test, struct failure *fail)
{
    const struct session *session = test->session;
    const struct connect_job job = {
        .target = &test->request.target,
        .sources = &session->config->sources,
        .conns = test->request.conns,
        .stall_ns = CONNECT_STALL_NS,
        .control_fd = session->talk.fd,
        .stop_fd = session->talk.stop_fd,
    };
    int err;

    if ((err = crew_open(&test->crew, &test->request, test->engine, session->config->threads,
                         fail)) < 0)
        return err;
    return crew_start(test->crew, &job, fail);
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
    reply = control_connected(&length, test->request.conns, test->crew->connect_ns);
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

static int send_progress(struct test *test, uint64_t now)
{
    uint64_t messages = 0, alive = 0;
    size_t length;
    char *reply;

    for (unsigned i = 0; i < test->crew->started; i++) {
        messages +=
            atomic_load_explicit(&test->crew->threads[i].pinger.echoes, memory_order_relaxed);
        alive += atomic_load_explicit(&test->crew->threads[i].pinger.alive, memory_order_relaxed);
    }
    reply = control_progress(&length, now - test->crew->plan.began_ns, messages, alive);
    return talk_send(&test->session->talk, reply, length);
}

/* The next boundary of the plan or progress line after now. */
static uint64_t next_deadline(const struct test *test, uint64_t now, uint64_t progress_ns)
{
    uint64_t end_ns = atomic_load(&test->crew->plan.window_end_ns);
    uint64_t then_ns = progress_ns;

    if (test->crew->plan.window_begin_ns > now && test->crew->plan.window_begin_ns < then_ns)
        then_ns = test->crew->plan.window_begin_ns;
    if (end_ns > now && end_ns < then_ns)
        then_ns = end_ns;
    return then_ns;
}

/* The next boundary of the window's slices that the client has not been told; UINT64_MAX: none. */
static uint64_t next_mark(const struct test *test)
{
    uint64_t begin_ns = test->crew->plan.window_begin_ns, slice_ns = test->request.slice_ns;
    uint64_t end_ns = atomic_load(&test->crew->plan.window_end_ns), then_ns;

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
    reply = control_mark(&length, test->marked_ns - test->crew->plan.window_begin_ns);
    return talk_send(&test->session->talk, reply, length);
}

static int obey_commands(struct test *test, struct failure *fail)
{
    switch (talk_next(&test->session->talk)) {
    case COMMAND_STOP:
        if (!test->stop_asked)
            crew_end_window(test->crew);
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
    uint64_t began_ns = test->crew->plan.began_ns;
    uint64_t progress_ns = began_ns + PROGRESS_NS;
    uint64_t then_ns = next_deadline(test, began_ns, progress_ns);

    for (;;) {
        uint64_t now, mark_ns = next_mark(test);
        bool some_ended = false;
        int err;

        if ((err = talk_await(&test->session->talk, mark_ns < then_ns ? mark_ns : then_ns,
                              test->crew->done_fd, &some_ended)) < 0 ||
            (err = obey_commands(test, fail)) < 0)
            return err;
        if (some_ended && crew_has_ended(test->crew))
            return send_mark(test, clock_now_ns());
        if (some_ended && atomic_load(&test->crew->plan.abandoned)) /* by one that failed */
            crew_wake(test->crew);
        now = clock_now_ns();
        if ((err = send_mark(test, now)) < 0)
            return err;
        if (now >= then_ns)
            crew_wake(test->crew);
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
    uint64_t begin_ns = test->crew->plan.window_begin_ns;
    uint64_t end_ns = atomic_load(&test->crew->plan.window_end_ns);

    if (ended_ns < end_ns)
        end_ns = ended_ns;
    return end_ns > begin_ns ? end_ns - begin_ns : 0;
}

/* What the turn that has ended has added to what there was before. */
static struct turn_outcome turn_outcome(struct test *test)
{
    struct turn_outcome now = {.number = test->crew->turn}, turn;
    uint64_t ended_ns = 0, end_ns = atomic_load(&test->crew->plan.window_end_ns);

    for (unsigned i = 0; i < test->crew->started; i++) {
        const struct pinger *pinger = &test->crew->threads[i].pinger;

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

/* Ping for one turn. On failure the threads may still be at it. */
static int ping_turn(struct test *test, const struct turn *asked, struct turn_outcome *outcome,
                     struct failure *fail)
{
    int err;

    crew_begin(test->crew, asked);
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
    if (err < 0)
        crew_abandon(test->crew);
    atomic_store(pinging, false); /* before it is told: whoever hears of it may begin the next */
    if (err < 0)
        return err;
    if (atomic_load(&test->crew->plan.abandoned)) { /* an engine failed: crew_join says how */
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
    return crew_join(test->crew, fail); /* who has its answer finds every socket closed */
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
    for (unsigned t = 0; t < test->crew->started; t++)
        for (uint32_t i = 0; i < test->crew->threads[t].pinger.slice_count; i++)
            slice_add(&o->slices[i < o->slice_count ? i : o->slice_count - 1],
                      &test->crew->threads[t].pinger.slices[i]);
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
        counts[i] = test->crew->conns[i].messages;
    o->fairness = fairness_of(counts, test->request.conns);
    free(counts);
    for (unsigned i = 0; i < test->crew->started; i++)
        add_up(o, &test->crew->threads[i].pinger);
    o->latency.max_ns = test->latency_max_ns;
    if (add_slices(test) < 0)
        return failure_set(fail, "internal", ENOMEM, "no memory for the result");
    o->threads = test->crew->turn > 0 ? test->crew->started : 0;
    o->engine = test->engine->name;
    o->connect_ns = test->crew->connect_ns;
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
    crew_close(test->crew);
    free(test->outcome.slices);
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
        snprintf(turns, sizeof turns, " of %llu turns", (unsigned long long)test->crew->turn);
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
