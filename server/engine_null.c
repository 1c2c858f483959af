/* engine_null.c - the null engine, which does nothing: it measures the load server itself.
 *
 * Each ping is its own echo, at once and without a system call, through the same calls of pinger.h
 * that the others make: begin, check (the message against itself), record. What its thread spends
 * on a message is what a message costs before any byte is moved. The connections are opened and
 * never looked at; whoever accepted them is not measured at all.
 */
#define _GNU_SOURCE
#include "engine.h"
#include "pipeline.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *engine_null_unavailable(void)
{
    return NULL;
}

static int engine_null_open(struct pinger *p)
{
    (void)p;
    return 0;
}

static void engine_null_close(struct pinger *p)
{
    (void)p;
}

static inline void ping(struct pinger *p, struct conn *c, uint64_t now)
{
    conn_begin(p, c, now);
    c->sent = p->message.size;
}

/* What was sent is what came back: it is stamped and compared as an echo is. */
static inline void conn_echoed(struct pinger *p, struct conn *c)
{
    uint64_t now = clock_now_ns();

    if (conn_check(p, c, p->message.bytes, p->message.size) != ECHO_WHOLE) {
        conn_lose(p, c, LOST_CORRUPT);
        return;
    }
    conn_record(p, c, now);
    if (!pinger_sending(p, now))
        conn_finish(p, c);
    else if (!p->plan->paced || conn_schedule(p, c, now))
        ping(p, c, now);
}

/* ---- several pings in flight --------------------------------------------------------------- */

static void pipeline_ping(struct pinger *p, struct conn *c, uint64_t now)
{
    pipeline_fill(p, c, now);
    while (conn_pipeline(p, c)->unsent > 0)
        pipeline_sent(p, c, p->message.size);
}

/* Each of them comes back, then as many are sent. Returns their number. */
static uint32_t pipeline_echoed(struct pinger *p, struct conn *c)
{
    uint64_t now = clock_now_ns();
    uint32_t out = conn_out(p, c);

    for (uint32_t left = out; left > 0; left--) {
        message_stamp(&p->message, c->seq - left + 1, c->id);
        if (pipeline_received(p, c, p->message.bytes, p->message.size, now) < 0) {
            conn_lose(p, c, LOST_CORRUPT);
            return 0;
        }
    }
    if (c->state != CONN_CLOSED && pinger_sending(p, now))
        pipeline_ping(p, c, now);
    return out;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void start_all(struct pinger *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        uint64_t now = clock_now_ns();

        if (p->pipelines)
            pipeline_ping(p, &p->conns[i], now);
        else if (p->plan->paced)
            conn_schedule_first(p, &p->conns[i], now);
        else
            ping(p, &p->conns[i], now);
    }
}

/* Each ping that is out comes back. Returns their number. */
static uint32_t echo_all(struct pinger *p)
{
    uint32_t echoed = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        if (p->conns[i].state != CONN_FLYING) {
            if (p->conns[i].state == CONN_PIPELINED)
                echoed += pipeline_echoed(p, &p->conns[i]);
            continue;
        }
        conn_echoed(p, &p->conns[i]);
        echoed++;
    }
    return echoed;
}

static void fire_due(struct pinger *p, uint64_t now)
{
    struct conn *c;

    while ((c = conn_pop_due(p, now))) {
        ping(p, c, clock_now_ns());
        conn_echoed(p, c);
    }
}

/* Nothing is out: sleep until a ping is due or a boundary of the plan has come. */
static int rest(struct pinger *p, uint64_t now)
{
    struct pollfd wake = {.fd = p->wake_fd, .events = POLLIN};
    uint64_t until = p->waiting.count > 0 ? p->waiting.heap[0].at_ns : now;
    struct timespec left = clock_until(until, now);
    uint64_t count;

    if (ppoll(&wake, 1, p->waiting.count > 0 ? &left : NULL, NULL) < 0 && errno != EINTR)
        return -errno;
    (void)!read(p->wake_fd, &count, sizeof count);
    return 0;
}

static int engine_null_run(struct pinger *p, const char **call)
{
    uint64_t now;
    int err;

    *call = "ppoll";
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* the default lets a due ping be 50 us late */
    start_all(p);
    now = clock_now_ns();
    while (pinger_advance(p, now), !pinger_done(p, now)) {
        if (echo_all(p) == 0 && (err = rest(p, now)) < 0)
            return err;
        now = clock_now_ns();
        if (p->phase != PHASE_DRAIN)
            fire_due(p, now);
    }
    pinger_end(p, now);
    return 0;
}

const struct engine engine_null = {
    .name = "null",
    .unavailable = engine_null_unavailable,
    .open = engine_null_open,
    .run = engine_null_run,
    .close = engine_null_close,
};
