/* session.c - one test from request to result. Read run_stages first: it is the table of contents.
 *
 * Place: sessions.c starts a session when a request has come; the session calls request.c and
 * reply.c for the wire format, permission.c, talk.c to speak with its client, crew.c for the
 * connections and turns.c for the pinging.
 * Threads: runs in the session's thread; the ping threads that it starts are crew.c's.
 */
#define _GNU_SOURCE
#include "session.h"

#include "clock.h"
#include "connect.h"
#include "crew.h"
#include "engine.h"
#include "permission.h"
#include "request.h"
#include "turns.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const uint64_t CONNECT_STALL_NS = 30 * NS_PER_S;
static const uint64_t READY_NS = 120 * NS_PER_S;
static const uint64_t READY_PER_CONN_NS = 20 * NS_PER_MS; /* a thread each, on a slow machine */

/* One test while it runs. */
struct test {
    struct session *session;
    struct request request;
    const struct engine *engine;
    struct crew *crew;       /* owned; NULL until they are wanted */
    struct tls_context *tls; /* owned; NULL: plain connections */
    bool stop_asked;         /* the client wants the result now, and nothing pinged */
    struct outcome outcome;
};

/* ---- the stages --------------------------------------------------------------------------- */

static void change_state(struct session *session, enum session_state state)
{
    uint64_t one = 1;

    atomic_store(&session->state, state);
    (void)!write(session->changed_fd, &one, sizeof one);
}

static int read_request(struct test *test, struct failure *fail)
{
    struct session *session = test->session;
    size_t used;
    int err;

    request_shape(session->talk.input, session->talk.length, &used);
    if ((err = request_parse(&test->request, session->talk.input, used, fail)) < 0)
        return err;
    talk_drop(&session->talk, used);
    session->talk.deaf = test->request.version == 1;
    return 0;
}

static int check_permission(struct test *test, struct failure *fail)
{
    return permission_check(&test->request, test->session->config, &test->session->talk, fail);
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

/* Ready what the connections need for TLS, if the request asks for it. */
static int prepare_tls(struct test *test, struct failure *fail)
{
    const char *why = tls_unavailable();

    if (!test->request.tls)
        return 0;
    if (why)
        return failure_set(fail, "unsupported", ENOSYS, "transport=tls: %s", why);
    if (!test->engine->tls)
        return failure_set(fail, "bad_request", EINVAL,
                           "transport=tls: the engine %s cannot; use epoll", test->engine->name);
    test->tls = tls_context_new(test->request.pin);
    if (!test->tls)
        return failure_set(fail, "internal", ENOMEM, "no memory for TLS");
    return 0;
}

/* Open the connections, with the threads that will ping on them. */
static int open_connections(struct test *test, struct failure *fail)
{
    const struct session *session = test->session;
    const struct connect_job job = {
        .targets = &test->request.targets,
        .sources = &session->config->sources,
        .tls = test->tls,
        .conns = test->request.conns + test->request.idle,
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
    uint64_t limit_ns = READY_NS + READY_PER_CONN_NS * (uint64_t)test->request.conns;
    uint64_t deadline_ns = clock_now_ns() + limit_ns;
    int err;

    if (test->request.version == 1)
        return 0;
    if ((err = talk_send(&session->talk,
                         reply_connected(test->request.conns, test->crew->connect_ns))) < 0)
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
                               (unsigned long long)(limit_ns / NS_PER_S));
        if ((err = talk_await(&session->talk, deadline_ns, -1, NULL)) < 0)
            return err;
    }
}

static int ping(struct test *test, struct failure *fail)
{
    struct session *session = test->session;
    int err;

    if (!test->stop_asked &&
        (err = turns_take(test->crew, &session->talk, session->pinging, &test->outcome, fail)) < 0)
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

static int add_listeners(struct test *test)
{
    struct outcome *o = &test->outcome;
    unsigned count = test->request.targets.count;

    if (count == 1)
        return 0;
    o->listeners = calloc(count, sizeof *o->listeners);
    if (!o->listeners)
        return -ENOMEM;
    o->listener_count = count;
    crew_add_listeners(test->crew, o->listeners, count);
    return 0;
}

static int send_result(struct test *test, struct failure *fail)
{
    struct outcome *o = &test->outcome;
    uint64_t *counts = malloc(test->request.conns * sizeof *counts);

    if (!counts)
        return failure_set(fail, "internal", ENOMEM, "no memory for the result");
    for (uint32_t i = 0; i < test->request.conns; i++)
        counts[i] = test->crew->conns[i].messages;
    o->fairness = fairness_of(counts, test->request.conns);
    free(counts);
    for (unsigned i = 0; i < test->crew->started; i++)
        add_up(o, &test->crew->threads[i].pinger);
    for (unsigned i = 0; i < test->crew->started; i++)
        o->idle_lost += test->crew->threads[i].idle_lost;
    if (add_slices(test) < 0 || add_listeners(test) < 0)
        return failure_set(fail, "internal", ENOMEM, "no memory for the result");
    o->threads = test->crew->turn > 0 ? test->crew->started : 0;
    o->engine = test->engine->name;
    o->connect_ns = test->crew->connect_ns;
    o->handshake_busy_ns = test->crew->handshakes.busy_ns;
    o->handshake_sum_ns = test->crew->handshakes.sum_ns;
    o->cipher = test->tls ? tls_context_cipher(test->tls) : NULL;
    return talk_send(&test->session->talk, reply_result(&test->request, o));
}

/* ---- the session -------------------------------------------------------------------------- */

static int run_stages(struct test *test, struct failure *fail)
{
    int err;

    if ((err = read_request(test, fail)) < 0 ||     /* what is wanted */
        (err = check_permission(test, fail)) < 0 || /* may this client have it */
        (err = enter(test)) < 0 ||                  /* from here on it is a test */
        (err = choose_engine(test, fail)) < 0 ||    /* can it be had here */
        (err = prepare_tls(test, fail)) < 0 ||      /* and TLS, if it is wanted */
        (err = open_connections(test, fail)) < 0 || /* connect to the client under test */
        (err = await_ready(test, fail)) < 0 ||      /* until it has accepted all */
        (err = ping(test, fail)) < 0)               /* warm-up, window, drain */
        return err;
    return send_result(test, fail);
}

static void test_free(struct test *test)
{
    crew_close(test->crew);
    tls_context_free(test->tls);
    free(test->outcome.slices);
    free(test->outcome.listeners);
    free(test);
}

/* One line for the server's log. */
static void summarize(const struct test *test, int err, const struct failure *fail)
{
    char *out = test->session->summary;
    size_t size = sizeof test->session->summary;
    unsigned others = test->request.targets.count - 1;
    char target[ADDRESS_TEXT], turns[40] = "", more[40] = "";

    if (err < 0) {
        snprintf(out, size, "%s", fail->code ? fail->msg : "the control client went away");
        return;
    }
    if (test->request.turns)
        snprintf(turns, sizeof turns, " of %llu turns", (unsigned long long)test->crew->turn);
    if (others > 0)
        snprintf(more, sizeof more, " and %u more", others);
    snprintf(out, size, "%u connections to %s%s: %llu messages in %.3f s%s",
             (unsigned)test->request.conns,
             address_print(&test->request.targets.items[0], true, target), more,
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
    int version = request_version(session->talk.input, session->talk.length);
    struct failure fail;

    failure_set(&fail, "internal", ENOMEM, "no memory for a test");
    snprintf(session->summary, sizeof session->summary, "%s", fail.msg);
    talk_send(&session->talk, reply_refusal(version, &fail));
}

static void run_test(struct session *session, struct test *test)
{
    struct failure fail = {0};
    int err, version;

    test->session = session;
    err = run_stages(test, &fail);
    if (err == -ECANCELED && is_readable(session->talk.stop_fd))
        failure_set(&fail, "stopped", 0, "the load server was told to stop");
    summarize(test, err, &fail);
    version = test->request.version;
    test_free(test);
    if (err < 0 && fail.code)
        talk_send(&session->talk, reply_refusal(version, &fail));
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
