/* Several pings in flight on a connection, by a clock that the test sets: what is sent in which
 * order, what counts as an echo, and the books over turns. Times are in ns. */
#include "check.h"
#include "pipeline.h"

#include <string.h>

enum { CONNS = 2, DEPTH = 3, SIZE = 64, STREAM = 16 * SIZE };

static const uint64_t DRAIN_LIMIT_NS = 2 * NS_PER_S;

struct bench {
    struct request request;
    struct plan plan;
    struct conn conns[CONNS];
    struct pinger pinger;
    unsigned char stream[CONNS][STREAM]; /* sent, and not echoed yet */
    uint32_t length[CONNS];
};

static struct bench *bench_new(bool turns)
{
    static struct bench bench;

    memset(&bench, 0, sizeof bench);
    bench.request = (struct request){
        .version = 2, .conns = CONNS, .msize = SIZE, .inflight = DEPTH, .turns = turns};
    bench.plan.request = &bench.request;
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

/* Fill, and send at most that many bytes. Returns how many there were to send. */
static uint32_t ping(struct bench *b, int i, uint64_t now, uint32_t most)
{
    struct conn *c = &b->conns[i];
    unsigned char buffer[STREAM];
    uint32_t length;

    pipeline_fill(&b->pinger, c, now);
    length = pipeline_compose(&b->pinger, c, buffer, sizeof buffer);
    most = length < most ? length : most;
    memcpy(b->stream[i] + b->length[i], buffer, most);
    b->length[i] += most;
    pipeline_sent(&b->pinger, c, most);
    return length;
}

/* The oldest bytes come back; as an engine does, whoever is closed or behind the window goes on no
 * more. Returns the echoes that they make whole. */
static int echo(struct bench *b, int i, uint64_t now, uint32_t bytes)
{
    int whole = pipeline_received(&b->pinger, &b->conns[i], b->stream[i], bytes, now);

    b->length[i] -= bytes;
    memmove(b->stream[i], b->stream[i] + bytes, b->length[i]);
    return whole;
}

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

/* Each message has the next number, whatever pieces the socket takes them in. */
static void check_sending(void)
{
    struct bench *b = bench_new(false);
    struct pinger *p = &b->pinger;
    struct conn *c = &b->conns[1];
    const struct pipeline *pipeline = conn_pipeline(p, c);
    unsigned char small[SIZE + SIZE / 2];

    begin(b, 1000);
    CHECK(conn_out(p, c) == 0);
    CHECK(ping(b, 1, 1000, 100) == DEPTH * SIZE);
    CHECK(conn_out(p, c) == DEPTH && pipeline->unsent == 2 && c->sent == 100 - SIZE);
    CHECK(ping(b, 1, 1000, 0) == DEPTH * SIZE - 100);
    CHECK(pipeline_compose(p, c, small, sizeof small) == DEPTH * SIZE - 100);
    CHECK(pipeline_compose(p, c, small, SIZE) == 2 * SIZE - 100);
    pipeline_stamp(p, c);
    CHECK(memcmp(p->message.bytes + c->sent, small, SIZE - c->sent) == 0);
    CHECK(ping(b, 1, 1000, 1000) == DEPTH * SIZE - 100);
    CHECK(pipeline->unsent == 0 && c->sent == 0 && pipeline_compose(p, c, small, SIZE) == 0);
    for (uint32_t i = 0; i < DEPTH; i++) {
        message_stamp(&p->message, i + 1, 1);
        CHECK(memcmp(b->stream[1] + (size_t)i * SIZE, p->message.bytes, SIZE) == 0);
    }
    CHECK(p->counters.sent == DEPTH);
    pinger_free(p);
}

/* What was not sent, not yet, or in another order is no echo. */
static void check_corrupt(void)
{
    struct bench *b = bench_new(false);
    struct pinger *p = &b->pinger;
    struct conn *c = &b->conns[0];
    unsigned char bytes[DEPTH * SIZE + 1];

    begin(b, 1000);
    CHECK(conn_check(p, c, bytes, 1) == ECHO_CORRUPT); /* nothing is out */
    ping(b, 0, 1000, 2 * SIZE);
    memcpy(bytes, b->stream[0], sizeof bytes);
    CHECK(conn_check(p, c, bytes, SIZE) == ECHO_PIPELINED);
    CHECK(pipeline_received(p, c, bytes, 2 * SIZE + 1, 1010) == -1); /* more than was sent */
    CHECK(pipeline_received(p, c, bytes + SIZE, SIZE, 1010) == -1);  /* the second one first */
    CHECK(conn_out(p, c) == DEPTH);
    bytes[SIZE + 9] ^= 1;
    CHECK(pipeline_received(p, c, bytes, 2 * SIZE, 1010) == -1); /* the first was right */
    CHECK(conn_out(p, c) == DEPTH - 1 && p->echoes == 1);
    pinger_free(p);
}

/* Echoes that come several in one read, or in pieces: a latency each, and Little's law with as many
 * as are in flight. */
static void check_latencies(void)
{
    struct bench *b = bench_new(true);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        ping(b, i, 1040, STREAM);
    CHECK(!done(b, 1100));
    CHECK(echo(b, 0, 1110, SIZE / 2) == 0);
    CHECK(echo(b, 0, 1120, 2 * SIZE) == 2); /* and half of the third */
    CHECK(p->latency.total == 2 && p->latency.sum_ns == 2 * 80);
    CHECK(b->conns[0].state == CONN_PIPELINED && conn_out(p, &b->conns[0]) == 1);
    CHECK(ping(b, 0, 1120, STREAM) == 2 * SIZE);
    CHECK(echo(b, 0, 1150, SIZE / 2 + SIZE) == 2); /* the third of the first three, one of 1120 */
    CHECK(p->latency.total == 4 && p->latency.sum_ns == 2 * 80 + 110 + 30);
    ping(b, 0, 1150, STREAM);
    CHECK(echo(b, 1, 1180, DEPTH * SIZE) == DEPTH);
    ping(b, 1, 1180, STREAM);
    CHECK(b->conns[0].messages == 4 && b->conns[1].messages == 3);

    CHECK(echo(b, 1, 1205, SIZE) == 1); /* behind the window, and nobody has looked at the clock */
    CHECK(p->counters.drained == 1 && conn_out(p, &b->conns[1]) == DEPTH - 1);
    CHECK(!done(b, 1210));
    CHECK(p->out == CONNS * DEPTH - 1);
    CHECK(in_flight(b) == CONNS * DEPTH * 100);
    CHECK(echo(b, 0, 1220, DEPTH * SIZE) == DEPTH);
    CHECK(b->conns[0].state == CONN_HOME && p->out == DEPTH - 1);
    CHECK(echo(b, 1, 1230, (DEPTH - 1) * SIZE) == DEPTH - 1);
    CHECK(done(b, 1230) && p->alive == CONNS && p->latency.total == 7);
    CHECK(p->counters.drained == 2 * DEPTH);
    pinger_free(p);
}

/* Some are out for the rest of a turn and come in the next, which pings with the others meanwhile;
 * then a connection is lost with all that it has out. */
static void check_turns(void)
{
    struct bench *b = bench_new(true);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    for (int i = 0; i < CONNS; i++)
        ping(b, i, 1000, STREAM);
    CHECK(!done(b, 1100));
    CHECK(!done(b, 1200));
    echo(b, 0, 1210, DEPTH * SIZE);
    echo(b, 1, 1210, SIZE);
    CHECK(done(b, 1200 + DRAIN_LIMIT_NS));
    pinger_end(p, 1200 + DRAIN_LIMIT_NS);
    CHECK(p->counters.unanswered == DEPTH - 1 && p->alive == CONNS);

    begin(b, NS_PER_S * 9);
    CHECK(ping(b, 0, NS_PER_S * 9, STREAM) == DEPTH * SIZE);
    CHECK(ping(b, 1, NS_PER_S * 9, STREAM) == SIZE);
    CHECK(!done(b, NS_PER_S * 9 + 100));
    CHECK(echo(b, 1, NS_PER_S * 9 + 130, DEPTH * SIZE) == DEPTH);
    CHECK(p->counters.late_echoes == DEPTH - 1);
    CHECK(p->latency.total == 1 && p->latency.sum_ns == 130);
    ping(b, 1, NS_PER_S * 9 + 130, STREAM);
    CHECK(!done(b, NS_PER_S * 9 + 200));
    CHECK(p->out == 2 * DEPTH);
    CHECK(in_flight(b) == 2 * CONNS * DEPTH * 100);
    conn_lose(p, &b->conns[1], LOST_RESET);
    CHECK(p->out == DEPTH && p->alive == 1);
    pinger_end(p, NS_PER_S * 9 + 200 + DRAIN_LIMIT_NS);
    pinger_free(p);
}

/* Whoever is lost within the window was in flight until then, each ping of it. */
static void check_lost(void)
{
    struct bench *b = bench_new(false);
    struct pinger *p = &b->pinger;
    uint64_t now = clock_now_ns(); /* conn_lose looks at the clock itself */

    begin(b, now - 200);
    b->plan.window_end_ns = now + 600 * NS_PER_S;
    ping(b, 0, now - 50, STREAM);
    CHECK(!done(b, now));
    conn_lose(p, &b->conns[0], LOST_CLOSED);
    CHECK(p->counters.open_ns >= DEPTH * 50 && p->counters.open_ns % DEPTH == 0);
    CHECK(p->alive == 1 && p->counters.lost[LOST_CLOSED] == 1);
    pinger_free(p);
}

/* Without turns a connection is closed with its last echo, and not with the first. */
static void check_without_turns(void)
{
    struct bench *b = bench_new(false);
    struct pinger *p = &b->pinger;

    begin(b, 1000);
    ping(b, 0, 1000, STREAM);
    CHECK(!done(b, 1200));
    CHECK(p->alive == 1 && p->out == DEPTH); /* the other one had nothing in flight */
    CHECK(echo(b, 0, 1201, 2 * SIZE) == 2);
    CHECK(p->alive == 1);
    CHECK(echo(b, 0, 1202, SIZE) == 1);
    CHECK(done(b, 1202) && p->alive == 0);
    pinger_free(p);
}

int main(void)
{
    check_sending();
    check_corrupt();
    check_latencies();
    check_turns();
    check_lost();
    check_without_turns();
    return checks_report();
}
