/* reply.c - see reply.h. */
#define _GNU_SOURCE
#include "reply.h"

#include "clock.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PYBENCH_VERSION
#define PYBENCH_VERSION "unknown"
#endif

enum { HIST_LINE_MAX = 3800 }; /* leaves room for one more word below CONTROL_LINE_MAX */

/* Call write with a stream and its argument; the bytes written become the reply. */
static struct reply reply_build(void (*write)(FILE *, const void *), const void *argument)
{
    struct reply reply = {0};
    FILE *stream = open_memstream(&reply.text, &reply.length);

    if (!stream)
        return (struct reply){0};
    write(stream, argument);
    if (fclose(stream) != 0) {
        free(reply.text);
        return (struct reply){0};
    }
    return reply;
}

static struct reply reply_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct reply reply_format(const char *format, ...)
{
    char *text;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? (struct reply){0} : (struct reply){text, (size_t)n};
}

struct reply reply_connected(uint32_t conns, uint64_t elapsed_ns)
{
    return reply_format("connected n=%u elapsed_ns=%llu\n", (unsigned)conns,
                        (unsigned long long)elapsed_ns);
}

struct reply reply_mark(uint64_t since_ns)
{
    return reply_format("mark t_ns=%llu\n", (unsigned long long)since_ns);
}

struct reply reply_progress(uint64_t since_ns, uint64_t messages, uint64_t alive)
{
    return reply_format("progress t_ms=%llu messages=%llu alive=%llu\n",
                        (unsigned long long)(since_ns / NS_PER_MS), (unsigned long long)messages,
                        (unsigned long long)alive);
}

static void put(FILE *out, const char *key, uint64_t value)
{
    fprintf(out, " %s=%llu", key, (unsigned long long)value);
}

static void put_quoted(FILE *out, const char *key, const char *text)
{
    fprintf(out, " %s=\"", key);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(isprint((unsigned char)*text) ? *text : '?', out);
    }
    fputc('"', out);
}

struct reply reply_busy(void)
{
    return reply_format("busy\n");
}

static void write_turn(FILE *out, const void *argument)
{
    const struct turn_outcome *o = argument;

    fputs("turn", out);
    put(out, "n", o->number);
    put(out, "messages", o->messages);
    put(out, "window_ns", o->window_ns);
    put(out, "total", o->echoes);
    put(out, "latency_sum_ns", o->latency_sum_ns);
    put(out, "latency_max_ns", o->latency_max_ns);
    put(out, "idle_ns", o->counters.idle_ns);
    put(out, "user_ns", o->counters.user_ns);
    put(out, "sys_ns", o->counters.sys_ns);
    put(out, "drain_ns", o->drain_ns);
    put(out, "alive", o->alive);
    put(out, "unanswered", o->counters.unanswered);
    put(out, "late_echoes", o->counters.late_echoes);
    fputc('\n', out);
}

struct reply reply_turned(const struct turn_outcome *outcome)
{
    return reply_build(write_turn, outcome);
}

static void write_handshakes(FILE *out, const struct outcome *o)
{
    put(out, "tls_handshake_ns", o->handshake_busy_ns);
    put(out, "tls_handshake_sum_ns", o->handshake_sum_ns);
    fprintf(out, " tls_cipher=%s", o->cipher);
}

static void write_totals(FILE *out, const struct request *request, const struct outcome *o)
{
    static const char *const causes[LOST_CAUSES] = {
        [LOST_RESET] = "lost_reset", [LOST_CLOSED] = "lost_closed", [LOST_CORRUPT] = "lost_corrupt",
        [LOST_ERROR] = "lost_error", [LOST_TLS] = "lost_tls",
    };
    const struct counters *c = &o->counters;
    uint64_t lost = 0;

    for (int i = 0; i < LOST_CAUSES; i++)
        lost += c->lost[i];
    fputs("result", out);
    put(out, "messages", o->latency.total);
    put(out, "window_ns", o->window_ns);
    put(out, "total", c->sent);
    put(out, "drained", c->drained);
    put(out, "latency_sum_ns", o->latency.sum_ns);
    put(out, "latency_max_ns", o->latency.max_ns);
    put(out, "in_flight_ns", outcome_in_flight_ns(o));
    put(out, "lost", lost);
    for (int i = 0; i < LOST_CAUSES; i++)
        if (i != LOST_TLS || request->tls)
            put(out, causes[i], c->lost[i]);
    if (request->tls)
        write_handshakes(out, o);
    put(out, "connect_ns", o->connect_ns);
    put(out, "user_ns", c->user_ns);
    put(out, "sys_ns", c->sys_ns);
    put(out, "busy_poll_us", request->busy_poll_ns / NS_PER_US);
    put(out, "idle_ns", c->idle_ns);
    put(out, "waits", c->waits);
    put(out, "events", c->events);
    put(out, "events_squared", c->events_squared);
    if (request->kernel_times) {
        put(out, "queue_ns", c->queue_ns);
        put(out, "queue_samples", c->queue_samples);
    }
    if (request->idle)
        put(out, "idle_lost", o->idle_lost);
    put(out, "threads", o->threads);
    fprintf(out, " engine=%s version=%s\n", o->engine, PYBENCH_VERSION);
}

static void write_fairness(FILE *out, const struct fairness *f)
{
    fputs("fairness", out);
    put(out, "min", f->min);
    for (int i = 0; i < FAIRNESS_PERCENTILES; i++)
        fprintf(out, " p%d=%llu", 5 * (i + 1), (unsigned long long)f->percentiles[i]);
    put(out, "max", f->max);
    fprintf(out, " jain=%.6f", f->jain);
    put(out, "starved", f->starved);
    fputc('\n', out);
}

static void write_listeners(FILE *out, const struct outcome *o)
{
    for (unsigned i = 0; i < o->listener_count; i++) {
        fputs("listener", out);
        put(out, "n", i + 1);
        put(out, "conns", o->listeners[i].conns);
        put(out, "messages", o->listeners[i].messages);
        fputc('\n', out);
    }
}

static void write_histogram(FILE *out, const char *verb, const struct histogram *hist)
{
    int column = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        if (!hist->counts[i])
            continue;
        if (column > HIST_LINE_MAX) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column += fprintf(out, "%s", verb);
        column += fprintf(out, " %llu=%llu", (unsigned long long)hist_lower_ns(i),
                          (unsigned long long)hist->counts[i]);
    }
    if (column > 0)
        fputc('\n', out);
}

static void write_slices(FILE *out, const struct outcome *o)
{
    for (uint32_t i = 0; i < o->slice_count; i++) {
        const struct slice *slice = &o->slices[i];

        fputs("slice", out);
        put(out, "n", i + 1);
        put(out, "messages", slice->messages);
        put(out, "latency_sum_ns", slice->latency_sum_ns);
        put(out, "latency_max_ns", slice->latency_max_ns);
        fputc('\n', out);
    }
}

/* The corrected latencies once more, with what the window's end cut off counted as far as it got.
 */
static void write_bounds(FILE *out, const struct outcome *o)
{
    static const struct {
        const char *key;
        unsigned permille;
    } levels[] = {{"bound_p50_ns", 500}, {"bound_p75_ns", 750}, {"bound_p90_ns", 900},
                  {"bound_p95_ns", 950}, {"bound_p99_ns", 990}, {"bound_p999_ns", 999}};
    struct histogram all = o->corrected;

    hist_merge(&all, &o->censored);
    put(out, "censored", o->censored.total);
    put(out, "bound_mean_ns", all.total ? all.sum_ns / all.total : 0);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        put(out, levels[i].key, hist_percentile_ns(&all, levels[i].permille));
    put(out, "bound_max_ns", all.max_ns);
}

static void write_corrected(FILE *out, uint64_t rate, const struct outcome *o)
{
    fputs("corrected", out);
    put(out, "rate", rate);
    put(out, "late", o->counters.late);
    put(out, "unsent", o->counters.unsent);
    put(out, "sum_ns", o->corrected.sum_ns);
    put(out, "max_ns", o->corrected.max_ns);
    write_bounds(out, o);
    fputc('\n', out);
    write_histogram(out, "corrected_hist", &o->corrected);
}

/* What a result is written from. */
struct result {
    const struct request *request;
    const struct outcome *outcome;
};

static void write_result_v2(FILE *out, const void *argument)
{
    const struct result *result = argument;
    const struct outcome *outcome = result->outcome;

    write_totals(out, result->request, outcome);
    write_fairness(out, &outcome->fairness);
    write_listeners(out, outcome);
    write_histogram(out, "hist", &outcome->latency);
    write_slices(out, outcome);
    if (result->request->rate)
        write_corrected(out, result->request->rate, outcome);
    fputs("end\n", out);
}

/* Version 1 counts latencies in buckets b, meaning BASE**b ns with BASE = 2**0.1. Ours are finer;
 * each goes to the nearest of those by its middle. */
static void write_result_v1(FILE *out, const void *argument)
{
    enum { BUCKETS_PER_OCTAVE = 10, COARSE = BUCKETS_PER_OCTAVE * HIST_TOP_BITS + 1 };
    const struct outcome *outcome = ((const struct result *)argument)->outcome;
    uint64_t coarse[COARSE] = {0};
    unsigned used = 0;

    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        double middle = ((double)hist_lower_ns(i) + (double)hist_upper_ns(i)) / 2;

        if (outcome->latency.counts[i])
            coarse[lround(BUCKETS_PER_OCTAVE * log2(fmax(middle, 1)))] +=
                outcome->latency.counts[i];
    }
    for (unsigned b = 0; b < COARSE; b++)
        used += coarse[b] != 0;
    fprintf(out, "%llu %.17g %u", (unsigned long long)outcome->latency.total,
            exp2(1.0 / BUCKETS_PER_OCTAVE), used);
    for (unsigned b = 0; b < COARSE; b++)
        if (coarse[b])
            fprintf(out, " %u %llu", b, (unsigned long long)coarse[b]);
    fprintf(out, " %d", FAIRNESS_PERCENTILES);
    for (int i = 0; i < FAIRNESS_PERCENTILES; i++)
        fprintf(out, " %llu", (unsigned long long)outcome->fairness.percentiles[i]);
}

struct reply reply_result(const struct request *request, const struct outcome *outcome)
{
    const struct result result = {.request = request, .outcome = outcome};

    return reply_build(request->version == 1 ? write_result_v1 : write_result_v2, &result);
}

static void write_error(FILE *out, const void *argument)
{
    const struct failure *fail = argument;

    fprintf(out, "error code=%s", fail->code);
    if (fail->call)
        fprintf(out, " call=%s", fail->call);
    if (*fail->addr)
        fprintf(out, " addr=%s", fail->addr);
    if (fail->err)
        put_quoted(out, "reason", strerror(fail->err));
    if (fail->up >= 0)
        put(out, "up", (uint64_t)fail->up);
    put_quoted(out, "msg", fail->msg);
    fputc('\n', out);
}

struct reply reply_error(const struct failure *fail)
{
    return reply_build(write_error, fail);
}

struct reply reply_refusal(int version, const struct failure *fail)
{
    static const struct request v1 = {.version = 1};
    static const struct outcome nothing;

    return version == 1 ? reply_result(&v1, &nothing) : reply_error(fail);
}
