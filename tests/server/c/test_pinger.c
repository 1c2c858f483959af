/* The books of a ping thread over several turns, by a clock that the test sets: what counts in
 * which window, and what becomes of pings whose echo a turn did not wait for. Times are in ns. */
#include "arrivals.h"
#include "check.h"
#include "pinger.h"

#include <string.h>

enum { CONNS = 3 };

static const uint64_t DRAIN_LIMIT_NS = 2 * NS_PER_S;

struct bench {
    struct request request;
    struct plan plan;
    struct conn conns[CONNS];
    struct pinger pinger;
};

static struct bench *bench_new(uint64_t interval_ns, bool turns)
{
    static struct bench bench;

    memset(&bench, 0, sizeof bench);
    bench.request = (struct request){.version = 2, .conns = CONNS, .msize = 64, .turns = turns};
    bench.plan.request = &bench.request;
    bench.plan.interval_ns = interval_ns;
    bench.plan.paced = interval_ns > 0;
    bench.plan.turns = turns;
    for (uint32_t i = 0; i < CONNS; i++)
        bench.conns[i] = (struct conn){.fd = -1, .id = i};
    CHECK(pinger_init(&bench.pinger, &bench.plan, bench.conns, CONNS, 0) == 0);
    return &bench;
}

/* A turn from began_ns on: settling and window of 100 each. */
static void begin(struct bench *b, uint64_t began_ns)
{
    b->plan.began_ns = began_ns;
    b->plan.window_begin_ns = began_ns + 100;
    b->plan.window_end_ns = began_ns + 200;
    pinger_begin(&b->pinger);
}

static void ping(struct bench *b, int conn, uint64_t now)
{
    conn_begin(&b->pinger, &b->conns[conn], now);
    b->conns[conn].sent = 64;
}

/* As an engine does: record, then go on or finish. Returns whether the next ping is due at once. */
static bool echo(struct bench *b, int conn, uint64_t now)
{
    struct conn *c = &b->conns[conn];

    message_stamp(&b->pinger.message, c->seq, c->id);
    CHECK(conn_check(&b->pinger, c, b->pinger.message.bytes, 64) == ECHO_WHOLE);
    conn_record(&b->pinger, c, now);
    if (!pinger_sending(&b->pinger, now)) {
        conn_finish(&b->pinger, c);
        return false;
    }
    return !b->plan.paced || conn_schedule(&b->pinger, c, now);
}

/* Time spent in flight in the windows, as outcome.h has it. */
static uint64_t in_flight(const struct bench *b)
{
    const struct pinger *p = &b->pinger;

    return p->latency.sum_ns - p->counters.early_ns + p->counters.open_ns;
}

static bool done(struct bench *b, uint64_t now)
{
    pinger_advance(&b->pinger, now);
    return pinger_done(&b->pinger, now);
}

/* 0 answers in time, 1 never, 2 in the drain. Then a turn in whose middle 1's echo comes. */
static void check_late_echo(void)
{
    struct bench *b = bench_new(0, true);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        ping(b, i, 1050);
    CHECK(!done(b, 1100));
    CHECK(echo(b, 0, 1150)); /* half of it before the window */
    ping(b, 0, 1150);
    CHECK(!echo(b, 0, 1210)); /* behind it, and before anybody has looked at the clock */
    CHECK(!done(b, 1220));
    CHECK(p->out == 2);
    CHECK(!echo(b, 2, 1300));
    CHECK(!done(b, 1200 + DRAIN_LIMIT_NS - 1));
    CHECK(done(b, 1200 + DRAIN_LIMIT_NS));
    pinger_end(p, 1200 + DRAIN_LIMIT_NS);
    CHECK(p->counters.unanswered == 1 && p->alive == 3);
    CHECK(p->latency.total == 1 && p->latency.sum_ns == 100);
    CHECK(in_flight(b) == 3 * 100);

    begin(b, NS_PER_S * 9);
    CHECK(b->conns[0].state == CONN_IDLE && b->conns[1].state == CONN_FLYING);
    ping(b, 0, NS_PER_S * 9);
    ping(b, 2, NS_PER_S * 9);
    CHECK(!done(b, NS_PER_S * 9 + 100));
    CHECK(echo(b, 1, NS_PER_S * 9 + 130)); /* 30 in the window; then it is pinged again */
    CHECK(p->counters.late_echoes == 1 && p->latency.total == 1);
    ping(b, 1, NS_PER_S * 9 + 130);
    CHECK(!done(b, NS_PER_S * 9 + 200));
    for (int i = 0; i < CONNS; i++)
        CHECK(!echo(b, i, NS_PER_S * 9 + 210));
    CHECK(done(b, NS_PER_S * 9 + 210));
    pinger_end(p, NS_PER_S * 9 + 210);
    CHECK(p->counters.unanswered == 1 && p->counters.late_echoes == 1);
    CHECK(in_flight(b) == 3 * 100 + 3 * 100);
    CHECK(p->counters.sent == 7);
    CHECK(p->echoes == 4);
    pinger_free(p);
}

/* A ping that is out for a whole turn and comes in the drain of the next; and one that is lost. */
static void check_out_over_turns(void)
{
    struct bench *b = bench_new(0, true);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        ping(b, i, 1000);
    CHECK(!done(b, 1200));
    CHECK(p->out == 3);
    CHECK(!echo(b, 0, 1201));
    pinger_end(p, 1200 + DRAIN_LIMIT_NS);
    CHECK(p->counters.unanswered == 2);

    begin(b, NS_PER_S * 9);
    ping(b, 0, NS_PER_S * 9);
    CHECK(!done(b, NS_PER_S * 9 + 200));
    CHECK(p->out == 3);
    CHECK(!echo(b, 1, NS_PER_S * 9 + 250));
    conn_lose(p, &b->conns[2], LOST_RESET);
    CHECK(p->out == 1 && p->alive == 2);
    CHECK(!echo(b, 0, NS_PER_S * 9 + 260));
    CHECK(done(b, NS_PER_S * 9 + 260));
    pinger_end(p, NS_PER_S * 9 + 260);
    CHECK(p->counters.unanswered == 2 && p->counters.late_echoes == 1);
    CHECK(p->counters.lost[LOST_RESET] == 1);
    CHECK(p->latency.total == 0 && in_flight(b) == 6 * 100);
    pinger_free(p);
}

/* An open loop of one ping each 60 per connection: the schedule is the turn's, and what one turn
 * has counted as censored the next does not count again. */
static void check_schedule(void)
{
    struct bench *b = bench_new(60, true);
    struct pinger *p = &b->pinger;
    struct conn *c = &b->conns[0];

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        conn_schedule_first(p, &b->conns[i], 1000);
    CHECK(conn_pop_due(p, 1000) == c && c->due_ns == 1000);
    ping(b, 0, 1000);
    CHECK(!done(b, 1100)); /* 0 is out for the whole window; the others are never sent */
    CHECK(!done(b, 1200));
    CHECK(p->out == 1);
    /* due in the window, from 1100 to 1199: 0 at 1120 and 1180, 1 at 1140, 2 at 1100 and 1160 */
    CHECK(p->counters.unsent == 5);
    CHECK(p->censored.total == 5 + 1);
    pinger_end(p, 1200 + DRAIN_LIMIT_NS);

    begin(b, NS_PER_S * 9);
    CHECK(p->waiting.count == 0);
    for (int i = 1; i < CONNS; i++)
        conn_schedule_first(p, &b->conns[i], NS_PER_S * 9);
    CHECK(!done(b, NS_PER_S * 9 + 100));
    /* its first ping, at the turn's beginning, is what it is late with now */
    CHECK(echo(b, 0, NS_PER_S * 9 + 110));
    CHECK(c->due_ns == NS_PER_S * 9);
    ping(b, 0, NS_PER_S * 9 + 110);
    CHECK(echo(b, 0, NS_PER_S * 9 + 115));
    CHECK(p->corrected.max_ns == 115 && p->latency.max_ns == 5);
    CHECK(p->corrected.total == 1 && p->censored.total == 6);
    CHECK(c->due_ns == NS_PER_S * 9 + 60);
    ping(b, 0, NS_PER_S * 9 + 115);
    CHECK(!echo(b, 0, NS_PER_S * 9 + 210)); /* before anybody has looked at the clock */
    CHECK(p->counters.unsent == 5 + 2);
    CHECK(done(b, NS_PER_S * 9 + 220));
    CHECK(p->counters.unsent == 5 + 5); /* each once */
    pinger_free(p);
}

/* Pings of an open loop that are due in the window, by its definition. */
static uint64_t due_in_window(const struct bench *b)
{
    const struct plan *plan = &b->plan;
    uint64_t mean = plan->interval_ns, due = 0;

    for (uint32_t id = 0; id < CONNS; id++) {
        uint64_t stream = arrivals_stream(b->request.seed, id), number = 1;
        uint64_t at = plan->began_ns;

        at += b->request.poisson ? arrivals_gap_ns(stream, number, mean) : mean * id / CONNS;
        while (at < plan->window_end_ns) {
            due += at >= plan->window_begin_ns;
            at += b->request.poisson ? arrivals_gap_ns(stream, ++number, mean) : mean;
        }
    }
    return due;
}

/* Everybody is on time, and answered at once, up to the moment given. */
static void keep_schedule(struct bench *b, uint64_t until)
{
    for (uint64_t now = b->plan.began_ns; now < until; now++)
        for (struct conn *c; (c = conn_pop_due(&b->pinger, now));) {
            ping(b, (int)c->id, now);
            while (echo(b, (int)c->id, now))
                ping(b, (int)c->id, now);
        }
}

/* An open loop's thread looks at the clock at the one moment, sends what is due by then, but is
 * held up and sends it at the other only. Some have their echo before it looks at the clock again,
 * some after, and some never: every ping that was due in the window counts once, and no other. */
static void check_held_up_at(bool poisson, uint64_t looked, uint64_t sent)
{
    struct bench *b = bench_new(60, true);
    struct pinger *p = &b->pinger;

    b->request.poisson = poisson;
    begin(b, 1000);
    b->plan.window_begin_ns = 1000;
    for (int i = 0; i < CONNS; i++)
        conn_schedule_first(p, &b->conns[i], 1000);
    CHECK(!done(b, 1000));
    keep_schedule(b, 1120);
    for (struct conn *c; (c = conn_pop_due(p, looked));)
        ping(b, (int)c->id, sent);
    CHECK(b->conns[0].state == CONN_FLYING && b->conns[1].state == CONN_FLYING);
    CHECK(!echo(b, 0, 1500));
    CHECK(!done(b, 1500));
    CHECK(!echo(b, 1, 1600));
    CHECK(done(b, 1600 + DRAIN_LIMIT_NS));
    pinger_end(p, 1600 + DRAIN_LIMIT_NS);
    CHECK(p->latency.total == p->corrected.total);
    CHECK(p->corrected.total + p->censored.total == due_in_window(b));
    CHECK(p->censored.max_ns <= 1200 - 1000);
    CHECK(sent < 1200 || p->counters.open_ns == 0);
    pinger_free(p);
}

static void check_held_up(void)
{
    for (int poisson = 0; poisson <= 1; poisson++) {
        check_held_up_at(poisson, 1190, 1190);
        check_held_up_at(poisson, 1190, 1199);
        check_held_up_at(poisson, 1190, 1200); /* looked in the window, sent behind it */
        check_held_up_at(poisson, 1190, 1300);
        check_held_up_at(poisson, 1300, 1300); /* some were due behind it */
    }
}

/* A closed turn's ping that is sent behind the window has no part in it. */
static void check_held_up_closed(void)
{
    struct bench *b = bench_new(0, true);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    CHECK(!done(b, 1100));
    ping(b, 0, 1150);
    ping(b, 1, 1200);
    ping(b, 2, 1230);
    CHECK(!echo(b, 1, 1240));
    CHECK(!done(b, 1250));
    CHECK(p->out == 2);
    CHECK(!echo(b, 0, 1260) && !echo(b, 2, 1260));
    CHECK(done(b, 1260));
    pinger_end(p, 1260);
    CHECK(p->counters.drained == 3 && p->latency.total == 0 && p->censored.total == 0);
    CHECK(in_flight(b) == 50);
    pinger_free(p);
}

/* Nor has one whose connection is lost before the window. */
static void check_lost_in_warmup(void)
{
    struct bench *b = bench_new(60, true);
    struct pinger *p = &b->pinger;
    uint64_t now = clock_now_ns(); /* conn_lose looks at the clock itself */

    begin(b, now);
    b->plan.window_begin_ns = now + 600 * NS_PER_S;
    b->plan.window_end_ns = now + 600 * NS_PER_S + 100;
    conn_schedule_first(p, &b->conns[0], now);
    CHECK(conn_pop_due(p, now) == &b->conns[0]);
    ping(b, 0, now);
    conn_lose(p, &b->conns[0], LOST_RESET);
    CHECK(p->censored.total == 0 && p->counters.open_ns == 0);
    pinger_free(p);
}

/* Without turns whoever has its last echo is closed, and nobody is left out. */
static void check_without_turns(void)
{
    struct bench *b = bench_new(0, false);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        ping(b, i, 1000);
    CHECK(echo(b, 0, 1199));
    CHECK(!done(b, 1200)); /* 0 has nothing in flight */
    CHECK(p->alive == 2 && p->out == 2);
    CHECK(!echo(b, 1, 1201));
    CHECK(p->alive == 1);
    CHECK(!echo(b, 2, 1202));
    CHECK(done(b, 1202) && p->alive == 0);
    pinger_free(p);
}

int main(void)
{
    check_late_echo();
    check_out_over_turns();
    check_schedule();
    check_held_up();
    check_held_up_closed();
    check_lost_in_warmup();
    check_without_turns();
    return checks_report();
}
