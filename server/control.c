/* control.c - see control.h. */
#define _GNU_SOURCE
#include "control.h"

#include "clock.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PYBENCH_VERSION
#define PYBENCH_VERSION "unknown"
#endif

#define V2_VERB "test"

enum {
    MAX_WORDS = 32,
    HIST_LINE_MAX = 3800, /* leaves room for one more word below CONTROL_LINE_MAX */
};

static const uint64_t MAX_TIME_MS = 24 * 3600 * 1000; /* every load is bounded in time */

/* ---- requests ---------------------------------------------------------------------------- */

enum control_shape control_shape(const char *bytes, size_t length, size_t *used)
{
    static const char verb[] = V2_VERB " ";
    size_t common = length < sizeof verb - 1 ? length : sizeof verb - 1;
    const char *newline;

    *used = length;
    if (memcmp(bytes, verb, common) != 0)
        return CONTROL_WHOLE; /* version 1: the segment is the request */
    newline = memchr(bytes, '\n', length);
    if (newline) {
        *used = (size_t)(newline - bytes) + 1;
        return CONTROL_WHOLE;
    }
    return length < CONTROL_LINE_MAX ? CONTROL_PARTIAL : CONTROL_WHOLE;
}

bool control_is_text(const char *text, size_t longest)
{
    size_t length = 0;

    while (text[length] > ' ' && text[length] <= '~' && length <= longest)
        length++;
    return length >= 1 && length <= longest && !text[length];
}

/* The client's own words for a message: unprintable bytes become '?', long ones are cut. */
static const char *quoted(const char *word, char buf[48])
{
    size_t n = 0;

    for (; word[n] && n < 40; n++)
        buf[n] = isprint((unsigned char)word[n]) ? word[n] : '?';
    snprintf(buf + n, 48 - n, "%s", word[n] ? "..." : "");
    return buf;
}

/* A whole decimal number in [low, high], digits only. */
static int parse_number(uint64_t *out, const char *name, const char *text, uint64_t low,
                        uint64_t high, struct failure *fail)
{
    char shown[48];
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && value <= high; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    if (at == text || *at || value < low || value > high)
        return failure_set(fail, "bad_request", EINVAL,
                           "%s=%s: expected a whole number from %llu to %llu", name,
                           quoted(text, shown), (unsigned long long)low, (unsigned long long)high);
    *out = value;
    return 0;
}

/* A text of printable ASCII: it may be quoted in a message, a log or a terminal. */
static int parse_text(char *out, size_t size, const char *name, const char *text,
                      struct failure *fail)
{
    if (!*text)
        return failure_set(fail, "bad_request", EINVAL, "%s= has no value", name);
    if (!control_is_text(text, size - 1))
        return failure_set(fail, "bad_request", EINVAL,
                           "%s: expected 1 to %zu printable ASCII characters without a blank", name,
                           size - 1);
    snprintf(out, size, "%s", text);
    return 0;
}

/* A request under construction: address and ports come as two words, times in units of the wire. */
struct draft {
    char addr[CONTROL_LINE_MAX];      /* of Unix sockets several */
    char ports[6 * ADDRESS_LIST_MAX]; /* of version 2; version 1 has one, a number */
    uint64_t version, port, conns, msize, warmup, runtime, think_min, think_max, rate, threads;
    uint64_t seed, busy_poll, turns, slice, inflight, idle;
    char arrivals[16];
    char transport[16];
    char pin[2 * TLS_PIN_BYTES + 1];
    char timestamps[16];
    char engine[16];
    char token[CONTROL_TOKEN_MAX + 1];
};

struct key {
    const char *name;
    size_t offset;    /* in the struct that the table is of */
    size_t text_size; /* 0: a number */
    uint64_t low, high;
    bool needed;
};

#define NUMBER_OF(type, name, field, low, high, needed)   \
    {                                                     \
        name, offsetof(type, field), 0, low, high, needed \
    }
#define NUMBER(name, field, low, high, needed) \
    NUMBER_OF(struct draft, name, field, low, high, needed)
#define TEXT(name, field, needed)                                                             \
    {                                                                                         \
        name, offsetof(struct draft, field), sizeof(((struct draft *)0)->field), 0, 0, needed \
    }

enum {
    MAX_PORT = 65535,
    MAX_CONNS = 1000000,
    MAX_THINK_US = 1000000000,
    MAX_RATE = 1000000000,
    MAX_BUSY_POLL_US = 1000000,
    MAX_TURN_US = 60000000,
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
    NUMBER("PORT", port, 1, MAX_PORT, true),
    NUMBER("CONNS", conns, 1, MAX_CONNS, true),
    NUMBER("RUNTIME_S", runtime, 1, MAX_TIME_MS / 1000, true),
    NUMBER("MIN_TIMEOUT_NS", think_min, 0, MAX_THINK_US *NS_PER_US, true),
    NUMBER("MAX_TIMEOUT_NS", think_max, 0, MAX_THINK_US *NS_PER_US, true),
    NUMBER("MSIZE", msize, 1, CONTROL_MSIZE_MAX, true),
};

/* The words of a `turn` line. */
struct turn_draft {
    uint64_t settle, window;
};

static const struct key TURN_KEYS[] = {
    NUMBER_OF(struct turn_draft, "settle_us", settle, 0, MAX_TURN_US, true),
    NUMBER_OF(struct turn_draft, "window_us", window, 1, MAX_TURN_US, true),
};

enum {
    V2_KEY_COUNT = sizeof V2_KEYS / sizeof *V2_KEYS,
    V1_WORD_COUNT = sizeof V1_WORDS / sizeof *V1_WORDS,
    TURN_KEY_COUNT = sizeof TURN_KEYS / sizeof *TURN_KEYS,
};

/* draft: the struct that the key's table is of. */
static int draft_set(void *draft, const struct key *key, const char *value, struct failure *fail)
{
    char *field = (char *)draft + key->offset;

    if (key->text_size)
        return parse_text(field, key->text_size, key->name, value, fail);
    return parse_number((uint64_t *)(void *)field, key->name, value, key->low, key->high, fail);
}

/* Whether all words are ones that there are. */
static int check_words(const struct draft *draft, struct failure *fail)
{
    char shown[48];

    if (*draft->timestamps && strcmp(draft->timestamps, "kernel") != 0)
        return failure_set(fail, "bad_request", EINVAL, "timestamps=%s: there is only kernel",
                           quoted(draft->timestamps, shown));
    if (*draft->transport && strcmp(draft->transport, "plain") != 0 &&
        strcmp(draft->transport, "tls") != 0)
        return failure_set(fail, "bad_request", EINVAL, "transport=%s: there are plain and tls",
                           quoted(draft->transport, shown));
    if (*draft->arrivals && strcmp(draft->arrivals, "poisson") != 0 &&
        strcmp(draft->arrivals, "even") != 0)
        return failure_set(fail, "bad_request", EINVAL, "arrivals=%s: there are even and poisson",
                           quoted(draft->arrivals, shown));
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

/* The address with that port, or the Unix socket, becomes one target more. */
static int add_target(struct address_list *targets, const char *addr, uint64_t port, int version,
                      struct failure *fail)
{
    struct address *next = &targets->items[targets->count];
    char shown[48];
    int err;

    if (targets->count == ADDRESS_LIST_MAX)
        return failure_set(fail, "bad_request", EINVAL, "%s: at most %d %s",
                           address_means_unix(addr) ? "addr" : "port", ADDRESS_LIST_MAX,
                           address_means_unix(addr) ? "Unix sockets" : "ports");
    if (version == 2 && address_means_unix(addr)) {
        if (address_parse_unix(next, addr) < 0)
            return failure_set(fail, "bad_request", EINVAL,
                               "addr=%s: expected unix:/PATH or unix:@NAME, of at most 107 "
                               "characters from / or @ on and without a comma",
                               quoted(addr, shown));
    } else if ((err = address_parse(next, addr, (uint16_t)port)) == -ENOMEM) {
        return failure_set(fail, "internal", ENOMEM, "getaddrinfo: %s", strerror(ENOMEM));
    } else if (err < 0) {
        return failure_set(fail, "bad_request", EINVAL,
                           "addr=%s: expected a numeric IPv4 or IPv6 address%s",
                           quoted(addr, shown), version == 2 ? ", unix:/PATH or unix:@NAME" : "");
    }
    targets->count++;
    return 0;
}

/* A target for each word of a text that has commas between: of Unix sockets, or of ports. */
static int add_targets(struct address_list *targets, const struct draft *draft,
                       struct failure *fail)
{
    bool is_unix = address_means_unix(draft->addr);
    char text[sizeof draft->addr];
    char *rest = text;
    char *word;
    uint64_t port = 0;
    int err;

    snprintf(text, sizeof text, "%s", is_unix ? draft->addr : draft->ports);
    while ((word = strsep(&rest, ","))) {
        if (is_unix && !address_means_unix(word))
            return failure_set(fail, "bad_request", EINVAL,
                               "addr: Unix sockets with commas between, each unix:...");
        if (!is_unix && (err = parse_number(&port, "port", word, 1, MAX_PORT, fail)) < 0)
            return err;
        if ((err = add_target(targets, is_unix ? word : draft->addr, port, 2, fail)) < 0)
            return err;
    }
    return 0;
}

/* The listeners that are to be connected to. Version 1 knows one, of an IP address. */
static int draft_targets(struct address_list *targets, const struct draft *draft, int version,
                         struct failure *fail)
{
    int err;

    if (version == 1)
        return add_target(targets, draft->addr, draft->port, version, fail);
    if (!address_means_unix(draft->addr) && !*draft->ports)
        return failure_set(fail, "bad_request", EINVAL, "port is missing");
    if (address_means_unix(draft->addr) && (err = check_unix(draft, fail)) < 0)
        return err;
    if ((err = add_targets(targets, draft, fail)) < 0)
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

/* A line's keys, one table of them. */
struct keys {
    const struct key *items;
    unsigned count;
};

static const struct key *find_key(const struct keys *keys, const char *name, size_t length)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (strlen(keys->items[i].name) == length && memcmp(keys->items[i].name, name, length) == 0)
            return &keys->items[i];
    return NULL;
}

/* Put words[1..count) into draft, and whether each key was there into seen. */
static int parse_pairs(void *draft, const struct keys *keys, bool *seen, char *words[],
                       unsigned count, struct failure *fail)
{
    char shown[48];
    int err;

    for (unsigned i = 1; i < count; i++) {
        char *equals = strchr(words[i], '=');
        const struct key *key =
            equals ? find_key(keys, words[i], (size_t)(equals - words[i])) : NULL;

        if (!equals)
            return failure_set(fail, "bad_request", EINVAL, "'%s': expected key=value",
                               quoted(words[i], shown));
        *equals = '\0';
        if (!key)
            return failure_set(fail, "bad_request", EINVAL, "unknown key '%s'",
                               quoted(words[i], shown));
        if (seen[key - keys->items])
            return failure_set(fail, "bad_request", EINVAL, "%s is given twice", key->name);
        seen[key - keys->items] = true;
        if ((err = draft_set(draft, key, equals + 1, fail)) < 0)
            return err;
    }
    for (unsigned i = 0; i < keys->count; i++)
        if (keys->items[i].needed && !seen[i])
            return failure_set(fail, "bad_request", EINVAL, "%s is missing", keys->items[i].name);
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

    if ((err = parse_pairs(&draft, &keys, seen, words, count, fail)) < 0 ||
        (err = check_times(&draft, seen, fail)) < 0)
        return err;
    return draft_finish(out, &draft, 2, fail);
}

static int parse_v1(struct request *out, char *words[], unsigned count, struct failure *fail)
{
    struct draft draft = {0};
    char shown[48];
    int err;

    if (count != V1_WORD_COUNT)
        return failure_set(fail, "bad_request", EINVAL,
                           "'%s': expected 'test v=2 addr=... port=...', or the 7 words of version "
                           "1, but got %u words",
                           count ? quoted(words[0], shown) : "", count);
    for (unsigned i = 0; i < V1_WORD_COUNT; i++)
        if ((err = draft_set(&draft, &V1_WORDS[i], words[i], fail)) < 0)
            return err;
    return draft_finish(out, &draft, 1, fail);
}

/* Cut text into words at blanks, in place. Returns their number, at most MAX_WORDS + 1. */
static unsigned split_words(char *text, char *words[MAX_WORDS])
{
    unsigned count = 0;
    char *rest = text;
    char *word;

    while ((word = strsep(&rest, " \n")))
        if (*word && count++ < MAX_WORDS)
            words[count - 1] = word;
    return count;
}

int control_parse(struct request *out, const char *bytes, size_t length, struct failure *fail)
{
    bool v2 = length >= sizeof V2_VERB && memcmp(bytes, V2_VERB " ", sizeof V2_VERB) == 0;
    size_t limit = v2 ? CONTROL_LINE_MAX : CONTROL_V1_MAX;
    char text[CONTROL_LINE_MAX + 1];
    char *words[MAX_WORDS];
    unsigned count;

    if (length > limit || (v2 && bytes[length - 1] != '\n'))
        return failure_set(fail, "bad_request", EINVAL, "a request has at most %zu bytes", limit);
    if (memchr(bytes, '\0', length))
        return failure_set(fail, "bad_request", EINVAL, "a request is text: it has a zero byte");
    memcpy(text, bytes, length);
    text[length] = '\0';
    count = split_words(text, words);
    if (count > MAX_WORDS)
        return failure_set(fail, "bad_request", EINVAL, "a request has at most %d words",
                           MAX_WORDS);
    return v2 ? parse_v2(out, words, count, fail) : parse_v1(out, words, count, fail);
}

int control_version(const char *bytes, size_t length)
{
    struct request request = {.version = 2}; /* untouched by a failure */
    struct failure ignored;

    (void)control_parse(&request, bytes, length, &ignored);
    return request.version;
}

bool control_takes_turns(const char *bytes, size_t length)
{
    struct request request = {.turns = false}; /* likewise */
    struct failure ignored;

    (void)control_parse(&request, bytes, length, &ignored);
    return request.turns;
}

enum control_command control_command(const char *bytes, size_t length, size_t *used)
{
    const char *newline = length ? memchr(bytes, '\n', length) : NULL;

    *used = newline ? (size_t)(newline - bytes) + 1 : 0;
    if (!newline && length < CONTROL_LINE_MAX)
        return COMMAND_NONE;
    if (!newline)
        *used = length;
    if (*used == 6 && memcmp(bytes, "ready\n", 6) == 0)
        return COMMAND_READY;
    if (*used == 5 && memcmp(bytes, "stop\n", 5) == 0)
        return COMMAND_STOP;
    if (newline && *used > 5 && memcmp(bytes, "turn ", 5) == 0)
        return COMMAND_TURN;
    return COMMAND_UNKNOWN;
}

int control_turn(struct turn *out, const char *bytes, size_t length, struct failure *fail)
{
    static const struct keys keys = {TURN_KEYS, TURN_KEY_COUNT};
    struct turn_draft draft = {0};
    bool seen[TURN_KEY_COUNT] = {false};
    char text[CONTROL_LINE_MAX + 1];
    char *words[MAX_WORDS];
    unsigned count;
    int err;

    if (length > CONTROL_LINE_MAX || memchr(bytes, '\0', length))
        return failure_set(fail, "bad_request", EINVAL, "a turn is a line of text");
    memcpy(text, bytes, length);
    text[length] = '\0';
    count = split_words(text, words);
    if (count > MAX_WORDS)
        return failure_set(fail, "bad_request", EINVAL, "a turn has at most %d words", MAX_WORDS);
    if ((err = parse_pairs(&draft, &keys, seen, words, count, fail)) < 0)
        return err;
    *out = (struct turn){
        .settle_ns = draft.settle * NS_PER_US,
        .window_ns = draft.window * NS_PER_US,
    };
    return 0;
}

/* ---- replies ----------------------------------------------------------------------------- */

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

struct reply control_connected(uint32_t conns, uint64_t elapsed_ns)
{
    return reply_format("connected n=%u elapsed_ns=%llu\n", (unsigned)conns,
                        (unsigned long long)elapsed_ns);
}

struct reply control_mark(uint64_t since_ns)
{
    return reply_format("mark t_ns=%llu\n", (unsigned long long)since_ns);
}

struct reply control_progress(uint64_t since_ns, uint64_t messages, uint64_t alive)
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

struct reply control_busy(void)
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

struct reply control_turned(const struct turn_outcome *outcome)
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

struct reply control_result(const struct request *request, const struct outcome *outcome)
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

struct reply control_error(const struct failure *fail)
{
    return reply_build(write_error, fail);
}

struct reply control_refusal(int version, const struct failure *fail)
{
    static const struct request v1 = {.version = 1};
    static const struct outcome nothing;

    return version == 1 ? control_result(&v1, &nothing) : control_error(fail);
}
