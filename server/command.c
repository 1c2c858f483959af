/* command.c - see command.h. */
#define _GNU_SOURCE
#include "command.h"

#include "clock.h"
#include "words.h"

#include <errno.h>
#include <string.h>

enum { MAX_TURN_US = 60000000 };

/* The words of a `turn` line. */
struct turn_draft {
    uint64_t settle, window;
};

static const struct key TURN_KEYS[] = {
    NUMBER_OF(struct turn_draft, "settle_us", settle, 0, MAX_TURN_US, true),
    NUMBER_OF(struct turn_draft, "window_us", window, 1, MAX_TURN_US, true),
};

enum { TURN_KEY_COUNT = sizeof TURN_KEYS / sizeof *TURN_KEYS };

enum command command_read(const char *bytes, size_t length, size_t *used)
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

int turn_parse(struct turn *out, const char *bytes, size_t length, struct failure *fail)
{
    static const struct keys keys = {TURN_KEYS, TURN_KEY_COUNT};
    struct turn_draft draft = {0};
    bool seen[TURN_KEY_COUNT] = {false};
    char text[CONTROL_LINE_MAX + 1];
    char *words[WORDS_MAX];
    unsigned count;
    int err;

    if (length > CONTROL_LINE_MAX || memchr(bytes, '\0', length))
        return failure_set(fail, "bad_request", EINVAL, "a turn is a line of text");
    memcpy(text, bytes, length);
    text[length] = '\0';
    count = words_split(text, words);
    if (count > WORDS_MAX)
        return failure_set(fail, "bad_request", EINVAL, "a turn has at most %d words", WORDS_MAX);
    if ((err = words_store(&draft, &keys, seen, words, count, fail)) < 0)
        return err;
    *out = (struct turn){
        .settle_ns = draft.settle * NS_PER_US,
        .window_ns = draft.window * NS_PER_US,
    };
    return 0;
}
