/* turns.c - see turns.h. */
#define _GNU_SOURCE
#include "turns.h"

#include "clock.h"
#include "watch.h"

#include <errno.h>

static const uint64_t TURN_DEADLINE_NS = 600 * NS_PER_S; /* between two turns */

struct turns {
    struct crew *crew;
    struct talk *talk;
    _Atomic bool *pinging;
    struct outcome *outcome;
    struct turn_outcome told; /* what all turns until now have added up to */
    bool stopped;             /* there is no further one */
};

/* Length of the window: as planned, or until the last thread had nothing left to ping. ended_ns:
 * when that was. */
static uint64_t window_length(const struct plan *plan, uint64_t ended_ns)
{
    uint64_t begin_ns = plan->window_begin_ns;
    uint64_t end_ns = atomic_load(&plan->window_end_ns);

    if (ended_ns < end_ns)
        end_ns = ended_ns;
    return end_ns > begin_ns ? end_ns - begin_ns : 0;
}

/* What the turn that has ended has added to what there was before. */
static struct turn_outcome turn_outcome(struct turns *turns)
{
    const struct crew *crew = turns->crew;
    struct turn_outcome now = {.number = crew->turn}, turn;
    uint64_t ended_ns = 0, end_ns = atomic_load(&crew->plan.window_end_ns);

    for (unsigned i = 0; i < crew->started; i++) {
        const struct pinger *pinger = &crew->threads[i].pinger;

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
    now.window_ns = window_length(&crew->plan, ended_ns);
    now.drain_ns = ended_ns > end_ns ? ended_ns - end_ns : 0;
    turn = now;
    counters_subtract(&turn.counters, &turns->told.counters);
    turn.messages -= turns->told.messages;
    turn.latency_sum_ns -= turns->told.latency_sum_ns;
    turns->told = now;
    return turn;
}

/* Ping for one turn. On failure the threads may still be at it. */
static int ping_turn(struct turns *turns, const struct turn *asked, struct turn_outcome *outcome,
                     struct failure *fail)
{
    struct outcome *all = turns->outcome;
    int err;

    crew_begin(turns->crew, asked);
    if ((err = watch_turn(turns->crew, turns->talk, &turns->stopped, fail)) < 0)
        return err;
    *outcome = turn_outcome(turns);
    all->window_ns += outcome->window_ns;
    if (outcome->latency_max_ns > all->latency.max_ns)
        all->latency.max_ns = outcome->latency_max_ns;
    return 0;
}

/* The next line of the client. Returns its command, COMMAND_NONE with *err set when there is none.
 */
static enum command await_command(struct talk *talk, struct turn *turn, int *err,
                                  struct failure *fail)
{
    uint64_t deadline_ns = clock_now_ns() + TURN_DEADLINE_NS;

    for (;;) {
        size_t used;
        enum command command = command_read(talk->input, talk->length, &used);

        *err = command == COMMAND_TURN ? turn_parse(turn, talk->input, used, fail) : 0;
        talk_drop(talk, used);
        if (*err < 0)
            return COMMAND_NONE;
        if (command != COMMAND_NONE)
            return command;
        if (clock_now_ns() >= deadline_ns) {
            *err = failure_set(fail, "timeout", ETIMEDOUT, "no 'turn' came for %llu s",
                               (unsigned long long)(TURN_DEADLINE_NS / NS_PER_S));
            return COMMAND_NONE;
        }
        if ((*err = talk_await(talk, deadline_ns, -1, NULL)) < 0)
            return COMMAND_NONE;
    }
}

/* Take one turn, unless another session does; tell the client either way. */
static int take_turn(struct turns *turns, const struct turn *asked, struct failure *fail)
{
    struct turn_outcome outcome;
    int err;

    if (atomic_exchange(turns->pinging, true))
        return talk_send(turns->talk, reply_busy());
    err = ping_turn(turns, asked, &outcome, fail);
    if (err < 0)
        crew_abandon(turns->crew);
    atomic_store(turns->pinging, false); /* before it is told: who hears of it may begin the next */
    if (err < 0)
        return err;
    if (atomic_load(&turns->crew->plan.abandoned)) { /* an engine failed: crew_join says how */
        turns->stopped = true;
        return 0;
    }
    return talk_send(turns->talk, reply_turned(&outcome));
}

/* Turn by turn as the client says, until it says stop. */
static int take_turns(struct turns *turns, struct failure *fail)
{
    while (!turns->stopped) {
        struct turn turn;
        int err;

        switch (await_command(turns->talk, &turn, &err, fail)) {
        case COMMAND_TURN:
            err = take_turn(turns, &turn, fail);
            break;
        case COMMAND_STOP:
            turns->stopped = true;
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

int turns_take(struct crew *crew, struct talk *talk, _Atomic bool *pinging, struct outcome *outcome,
               struct failure *fail)
{
    const struct request *request = crew->plan.request;
    const struct turn whole = {request->warmup_ns, request->runtime_ns};
    struct turns turns = {.crew = crew, .talk = talk, .pinging = pinging, .outcome = outcome};
    struct turn_outcome ignored;

    return request->turns ? take_turns(&turns, fail) : ping_turn(&turns, &whole, &ignored, fail);
}
