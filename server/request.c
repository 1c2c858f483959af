/* request.c - see request.h: the tables of keys, what they must be together, and their units. */
#define _GNU_SOURCE
#include "request.h"

#include "clock.h"
#include "targets.h"
#include "words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V2_VERB "test"

static const uint64_t MAX_TIME_MS = 24 * 3600 * 1000; /* every load is bounded in time */

enum request_shape request_shape(const char *bytes, size_t length, size_t *used)
{
    static const char verb[] = V2_VERB " ";
    size_t common = length < sizeof verb - 1 ? length : sizeof verb - 1;
    const char *newline;

    *used = length;
    if (memcmp(bytes, verb, common) != 0)
        return REQUEST_WHOLE; /* version 1: the segment is the request */
    newline = memchr(bytes, '\n', length);
    if (newline) {
        *used = (size_t)(newline - bytes) + 1;
        return REQUEST_WHOLE;
    }
    return length < CONTROL_LINE_MAX ? REQUEST_PARTIAL : REQUEST_WHOLE;
}

/* A request under construction: address and ports come as two words, times in units of the wire. */
struct draft {
    char addr[CONTROL_LINE_MAX];    /* of Unix sockets several */
    char ports[TARGETS_PORTS_TEXT]; /* of version 2; version 1 has one, a number */
    uint64_t version, port, conns, msize, warmup, runtime, think_min, think_max, rate, threads;
    uint64_t seed, busy_poll, turns, slice, inflight, idle;
    char arrivals[16];
    char transport[16];
    char pin[2 * TLS_PIN_BYTES + 1];
    char timestamps[16];
    char engine[16];
    char token[CONTROL_TOKEN_MAX + 1];
};

#define NUMBER(name, field, low, high, needed) \
    NUMBER_OF(struct draft, name, field, low, high, needed)
#define TEXT(name, field, needed)                                                             \
    {                                                                                         \
        name, offsetof(struct draft, field), sizeof(((struct draft *)0)->field), 0, 0, needed \
    }

enum {
    MAX_CONNS = 1000000,
    MAX_THINK_US = 1000000000,
    MAX_RATE = 1000000000,
    MAX_BUSY_POLL_US = 1000000,
};

static const struct key V2_KEYS[] = {
    NUMBER("v", version, 2, 2, true),
    TEXT("addr", addr, true),
    TEXT("port", ports, false), /* needed unless addr is a Unix socket */
    TEXT("transport", transport, false),
    TEXT("pin", pin, false),
    NUMBER("conns", conns, 1, MAX_CONNS, true),
    NUMBER("msize", msize, 1, CONTROL_MSIZE_MAX, true),
    NUMBER("inflight", inflight, 1, CONTROL_INFLIGHT_MAX, false),
    NUMBER("idle", idle, 0, MAX_CONNS, false),
    NUMBER("warmup_ms", warmup, 0, MAX_TIME_MS, false), /* needed unless there are turns */
    NUMBER("runtime_ms", runtime, 1, MAX_TIME_MS, false),
    NUMBER("turns", turns, 1, 1, false),
    NUMBER("think_min_us", think_min, 0, MAX_THINK_US, false),
    NUMBER("think_max_us", think_max, 0, MAX_THINK_US, false),
    NUMBER("rate", rate, 1, MAX_RATE, false),
    TEXT("arrivals", arrivals, false),
    NUMBER("seed", seed, 0, UINT32_MAX, false),
    NUMBER("busy_poll_us", busy_poll, 0, MAX_BUSY_POLL_US, false),
    TEXT("timestamps", timestamps, false),
    NUMBER("threads", threads, 1, CONTROL_THREADS_MAX, false),
    TEXT("engine", engine, false),
    NUMBER("slice_ms", slice, 1, MAX_TIME_MS, false),
    TEXT("token", token, false),
};

/* Version 1 has the same words without names, in this order, in its own units. */
static const struct key V1_WORDS[] = {
    TEXT("IP", addr, true),
    NUMBER("PORT", port, 1, TARGETS_PORT_MAX, true),
    NUMBER("CONNS", conns, 1, MAX_CONNS, true),
    NUMBER("RUNTIME_S", runtime, 1, MAX_TIME_MS / 1000, true),
    NUMBER("MIN_TIMEOUT_NS", think_min, 0, MAX_THINK_US *NS_PER_US, true),
    NUMBER("MAX_TIMEOUT_NS", think_max, 0, MAX_THINK_US *NS_PER_US, true),
    NUMBER("MSIZE", msize, 1, CONTROL_MSIZE_MAX, true),
};

enum {
    V2_KEY_COUNT = sizeof V2_KEYS / sizeof *V2_KEYS,
    V1_WORD_COUNT = sizeof V1_WORDS / sizeof *V1_WORDS,
};

/* Whether all words are ones that there are. */
static int check_words(const struct draft *draft, struct failure *fail)
{
    char shown[QUOTED_BYTES];

    if (*draft->timestamps && strcmp(draft->timestamps, "kernel") != 0)
        return failure_set(fail, "bad_request", EINVAL, "timestamps=%s: there is only kernel",
                           word_quote(draft->timestamps, shown));
    if (*draft->transport && strcmp(draft->transport, "plain") != 0 &&
        strcmp(draft->transport, "tls") != 0)
        return failure_set(fail, "bad_request", EINVAL, "transport=%s: there are plain and tls",
                           word_quote(draft->transport, shown));
    if (*draft->arrivals && strcmp(draft->arrivals, "poisson") != 0 &&
        strcmp(draft->arrivals, "even") != 0)
        return failure_set(fail, "bad_request", EINVAL, "arrivals=%s: there are even and poisson",
                           word_quote(draft->arrivals, shown));
    return 0;
}

/* Whether each key goes with the others. */
static int check_together(const struct draft *draft, struct failure *fail)
{
    if (*draft->arrivals && !draft->rate)
        return failure_set(fail, "bad_request", EINVAL,
                           "arrivals are the schedule of a rate, and there is none");
    if (draft->seed && strcmp(draft->arrivals, "poisson") != 0)
        return failure_set(fail, "bad_request", EINVAL, "seed needs arrivals=poisson");
    if (draft->slice && draft->turns)
        return failure_set(fail, "bad_request", EINVAL,
                           "slice_ms and turns exclude each other: a turn is short");
    if (draft->slice && draft->runtime > CONTROL_SLICES_MAX * draft->slice)
        return failure_set(fail, "bad_request", EINVAL,
                           "slice_ms=%llu: that is more than %d slices of a window of %llu ms",
                           (unsigned long long)draft->slice, CONTROL_SLICES_MAX,
                           (unsigned long long)draft->runtime);
    if (draft->rate && draft->think_max)
        return failure_set(fail, "bad_request", EINVAL,
                           "rate and think times exclude each other: a rate is a schedule");
    if (draft->inflight > 1 && (draft->rate || draft->think_max))
        return failure_set(fail, "bad_request", EINVAL,
                           "inflight=%llu and %s exclude each other: with several pings in flight "
                           "each echo is followed by the next ping at once",
                           (unsigned long long)draft->inflight,
                           draft->rate ? "a rate" : "think times");
    if (draft->inflight * draft->conns > CONTROL_PINGS_MAX)
        return failure_set(fail, "bad_request", EINVAL,
                           "inflight=%llu on %llu connections: at most %d pings may be in flight",
                           (unsigned long long)draft->inflight, (unsigned long long)draft->conns,
                           CONTROL_PINGS_MAX);
    if (draft->conns + draft->idle > MAX_CONNS)
        return failure_set(
            fail, "bad_request", EINVAL, "%llu connections and %llu idle ones: at most %d together",
            (unsigned long long)draft->conns, (unsigned long long)draft->idle, MAX_CONNS);
    if (draft->think_min > draft->think_max)
        return failure_set(
            fail, "bad_request", EINVAL, "think time: the minimum %llu is above the maximum %llu",
            (unsigned long long)draft->think_min, (unsigned long long)draft->think_max);
    return 0;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The bytes of a pin. */
static int parse_pin(uint8_t out[TLS_PIN_BYTES], const char *text, struct failure *fail)
{
    for (unsigned i = 0; i < TLS_PIN_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

        if (low < 0)
            return failure_set(fail, "bad_request", EINVAL,
                               "pin: expected %d hexadecimal digits, the SHA-256 of a certificate",
                               2 * TLS_PIN_BYTES);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* TLS needs to know whom it may trust; the kernel notes times of records, not of messages. */
static int draft_tls(struct request *out, const struct draft *draft, struct failure *fail)
{
    out->tls = strcmp(draft->transport, "tls") == 0;
    if (!out->tls && *draft->pin)
        return failure_set(fail, "bad_request", EINVAL, "pin needs transport=tls");
    if (!out->tls)
        return 0;
    if (!*draft->pin)
        return failure_set(fail, "bad_request", EINVAL, "transport=tls needs a pin");
    if (*draft->timestamps)
        return failure_set(fail, "bad_request", EINVAL,
                           "timestamps=kernel: there are none of messages over TLS");
    return parse_pin(out->pin, draft->pin, fail);
}

/* A Unix socket has no port, and the kernel notes no times of what it carries. */
static int check_unix(const struct draft *draft, struct failure *fail)
{
    if (*draft->ports)
        return failure_set(fail, "bad_request", EINVAL,
                           "port and a Unix socket exclude each other");
    if (*draft->timestamps)
        return failure_set(fail, "bad_request", EINVAL,
                           "timestamps=kernel: there are none of a Unix socket");
    return 0;
}

/* The listeners that are to be connected to. Version 1 knows one, of an IP address. */
static int draft_targets(struct address_list *targets, const struct draft *draft, int version,
                         struct failure *fail)
{
    int err;

    if (version == 1)
        return targets_one(targets, draft->addr, draft->port, fail);
    if (!address_means_unix(draft->addr) && !*draft->ports)
        return failure_set(fail, "bad_request", EINVAL, "port is missing");
    if (address_means_unix(draft->addr) && (err = check_unix(draft, fail)) < 0)
        return err;
    if ((err = targets_parse(targets, draft->addr, draft->ports, fail)) < 0)
        return err;
    if (draft->conns < targets->count)
        return failure_set(fail, "bad_request", EINVAL,
                           "conns=%llu: each of the %u listeners needs a connection",
                           (unsigned long long)draft->conns, targets->count);
    return 0;
}

/* Check what takes more than one word, and convert to the units of the server. */
static int draft_finish(struct request *out, const struct draft *draft, int version,
                        struct failure *fail)
{
    uint64_t time_unit = version == 1 ? NS_PER_S : NS_PER_MS;
    uint64_t think_unit = version == 1 ? 1 : NS_PER_US;
    struct request request = {
        .version = version,
        .conns = (uint32_t)draft->conns,
        .msize = (uint32_t)draft->msize,
        .inflight = draft->inflight ? (uint32_t)draft->inflight : 1,
        .idle = (uint32_t)draft->idle,
        .warmup_ns = draft->warmup * NS_PER_MS,
        .runtime_ns = draft->runtime * time_unit,
        .think_min_ns = draft->think_min * think_unit,
        .think_max_ns = draft->think_max * think_unit,
        .rate = draft->rate,
        .poisson = strcmp(draft->arrivals, "poisson") == 0,
        .seed = draft->seed,
        .busy_poll_ns = draft->busy_poll * NS_PER_US,
        .slice_ns = draft->slice * NS_PER_MS,
        .kernel_times = strcmp(draft->timestamps, "kernel") == 0,
        .turns = draft->turns,
        .threads = (unsigned)draft->threads,
    };
    int err;

    if ((err = check_words(draft, fail)) < 0 || (err = check_together(draft, fail)) < 0 ||
        (err = draft_targets(&request.targets, draft, version, fail)) < 0 ||
        (err = draft_tls(&request, draft, fail)) < 0)
        return err;
    memcpy(request.engine, draft->engine, sizeof request.engine);
    memcpy(request.token, draft->token, sizeof request.token);
    *out = request;
    return 0;
}

/* A test has its times from the request, or from each turn. */
static int check_times(const struct draft *draft, const bool seen[V2_KEY_COUNT],
                       struct failure *fail)
{
    for (unsigned i = 0; i < V2_KEY_COUNT; i++) {
        bool is_time = V2_KEYS[i].offset == offsetof(struct draft, warmup) ||
                       V2_KEYS[i].offset == offsetof(struct draft, runtime);

        if (is_time && draft->turns && seen[i])
            return failure_set(fail, "bad_request", EINVAL,
                               "%s and turns exclude each other: each turn has its own times",
                               V2_KEYS[i].name);
        if (is_time && !draft->turns && !seen[i])
            return failure_set(fail, "bad_request", EINVAL, "%s is missing", V2_KEYS[i].name);
    }
    return 0;
}

static int parse_v2(struct request *out, char *words[], unsigned count, struct failure *fail)
{
    static const struct keys keys = {V2_KEYS, V2_KEY_COUNT};
    struct draft draft = {0};
    bool seen[V2_KEY_COUNT] = {false};
    int err;

    if ((err = words_store(&draft, &keys, seen, words, count, fail)) < 0 ||
        (err = check_times(&draft, seen, fail)) < 0)
        return err;
    return draft_finish(out, &draft, 2, fail);
}

static int parse_v1(struct request *out, char *words[], unsigned count, struct failure *fail)
{
    struct draft draft = {0};
    char shown[QUOTED_BYTES];
    int err;

    if (count != V1_WORD_COUNT)
        return failure_set(fail, "bad_request", EINVAL,
                           "'%s': expected 'test v=2 addr=... port=...', or the 7 words of version "
                           "1, but got %u words",
                           count ? word_quote(words[0], shown) : "", count);
    for (unsigned i = 0; i < V1_WORD_COUNT; i++)
        if ((err = word_store(&draft, &V1_WORDS[i], words[i], fail)) < 0)
            return err;
    return draft_finish(out, &draft, 1, fail);
}

int request_parse(struct request *out, const char *bytes, size_t length, struct failure *fail)
{
    bool v2 = length >= sizeof V2_VERB && memcmp(bytes, V2_VERB " ", sizeof V2_VERB) == 0;
    size_t limit = v2 ? CONTROL_LINE_MAX : CONTROL_V1_MAX;
    char text[CONTROL_LINE_MAX + 1];
    char *words[WORDS_MAX];
    unsigned count;

    if (length > limit || (v2 && bytes[length - 1] != '\n'))
        return failure_set(fail, "bad_request", EINVAL, "a request has at most %zu bytes", limit);
    if (memchr(bytes, '\0', length))
        return failure_set(fail, "bad_request", EINVAL, "a request is text: it has a zero byte");
    memcpy(text, bytes, length);
    text[length] = '\0';
    count = words_split(text, words);
    if (count > WORDS_MAX)
        return failure_set(fail, "bad_request", EINVAL, "a request has at most %d words",
                           WORDS_MAX);
    return v2 ? parse_v2(out, words, count, fail) : parse_v1(out, words, count, fail);
}

int request_version(const char *bytes, size_t length)
{
    struct request request = {.version = 2}; /* untouched by a failure */
    struct failure ignored;

    (void)request_parse(&request, bytes, length, &ignored);
    return request.version;
}

bool request_takes_turns(const char *bytes, size_t length)
{
    struct request request = {.turns = false}; /* likewise */
    struct failure ignored;

    (void)request_parse(&request, bytes, length, &ignored);
    return request.turns;
}
