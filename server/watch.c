/* watch.c - see watch.h. */
#define _GNU_SOURCE
#include "watch.h"

#include "clock.h"

#include <stdatomic.h>
#include <stdint.h>

static const uint64_t PROGRESS_NS = NS_PER_S;

/* The watch over one turn. */
struct watch {
    struct crew *crew;
    const struct plan *plan; /* the crew's */
    struct talk *talk;
    uint64_t progress_ns; /* then the next progress line is due */
    uint64_t marked_ns;   /* up to here the window's slices have been told */
    bool *stopped;
};

static int send_progress(const struct watch *watch, uint64_t now)
{
    const struct crew *crew = watch->crew;
    uint64_t messages = 0, alive = 0;

    for (unsigned i = 0; i < crew->started; i++) {
        const struct pinger *pinger = &crew->threads[i].pinger;

        messages += atomic_load_explicit(&pinger->echoes, memory_order_relaxed);
        alive += atomic_load_explicit(&pinger->alive, memory_order_relaxed);
    }
    return talk_send(watch->talk, reply_progress(now - watch->plan->began_ns, messages, alive));
}

/* The next boundary of the plan or progress line after now. */
static uint64_t next_deadline(const struct watch *watch, uint64_t now)
{
    uint64_t begin_ns = watch->plan->window_begin_ns;
    uint64_t end_ns = atomic_load(&watch->plan->window_end_ns);
    uint64_t then_ns = watch->progress_ns;

    if (begin_ns > now && begin_ns < then_ns)
        then_ns = begin_ns;
    if (end_ns > now && end_ns < then_ns)
        then_ns = end_ns;
    return then_ns;
}

/* The next boundary of the window's slices that the client has not been told; UINT64_MAX: none. */
static uint64_t next_mark(const struct watch *watch)
{
    uint64_t begin_ns = watch->plan->window_begin_ns, slice_ns = watch->plan->request->slice_ns;
    uint64_t end_ns = atomic_load(&watch->plan->window_end_ns), then_ns;

    if (slice_ns == 0 || end_ns <= begin_ns || watch->marked_ns >= end_ns)
        return UINT64_MAX;
    if (watch->marked_ns < begin_ns)
        return begin_ns;
    then_ns = begin_ns + ((watch->marked_ns - begin_ns) / slice_ns + 1) * slice_ns;
    return then_ns < end_ns ? then_ns : end_ns;
}

/* Tell the client of the last boundary that has passed and that it does not know. */
static int send_mark(struct watch *watch, uint64_t now)
{
    if (next_mark(watch) > now)
        return 0;
    for (uint64_t then_ns; (then_ns = next_mark(watch)) <= now;)
        watch->marked_ns = then_ns;
    return talk_send(watch->talk, reply_mark(watch->marked_ns - watch->plan->window_begin_ns));
}

static int obey_command(struct watch *watch, struct failure *fail)
{
    switch (talk_next(watch->talk)) {
    case COMMAND_STOP:
        if (!*watch->stopped)
            crew_end_window(watch->crew);
        *watch->stopped = true;
        return 0;
    case COMMAND_NONE:
        return 0;
    default:
        return talk_unexpected(fail, "'ready' or 'stop'");
    }
}

int watch_turn(struct crew *crew, struct talk *talk, bool *stopped, struct failure *fail)
{
    struct watch watch = {
        .crew = crew,
        .plan = &crew->plan,
        .talk = talk,
        .progress_ns = crew->plan.began_ns + PROGRESS_NS,
        .stopped = stopped,
    };
    uint64_t then_ns = next_deadline(&watch, crew->plan.began_ns);

    for (;;) {
        uint64_t now, mark_ns = next_mark(&watch);
        bool some_ended = false;
        int err;

        if ((err = talk_await(talk, mark_ns < then_ns ? mark_ns : then_ns, crew->done_fd,
                              &some_ended)) < 0 ||
            (err = obey_command(&watch, fail)) < 0)
            return err;
        if (some_ended && crew_has_ended(crew))
            return send_mark(&watch, clock_now_ns());
        if (some_ended && atomic_load(&crew->plan.abandoned)) /* by one that failed */
            crew_wake(crew);
        now = clock_now_ns();
        if ((err = send_mark(&watch, now)) < 0) /* before what its boundary sets going */
            return err;
        if (now >= then_ns)
            crew_wake(crew);
        if (now >= watch.progress_ns) {
            if (crew->plan.request->version == 2 && (err = send_progress(&watch, now)) < 0)
                return err;
            watch.progress_ns += PROGRESS_NS;
        }
        then_ns = next_deadline(&watch, now);
    }
}
