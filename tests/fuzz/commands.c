/* What follows a request: each line is one command, wherever the segments were cut; a turn that is
 * taken keeps its bounds, one that is not leaves everything as it was. */
#include "command.h"
#include "must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first command of bytes must be the same when they arrive one by one. */
static void check_pieces(const char *bytes, size_t used, enum command whole)
{
    size_t taken;

    for (size_t part = 0; part < used; part += 1 + used / 16) {
        MUST(command_read(bytes, part, &taken) == COMMAND_NONE);
        MUST(taken == 0);
    }
    MUST(command_read(bytes, used, &taken) == whole && taken == used);
}

static void check_turn(const char *bytes, size_t used)
{
    const uint64_t most_ns = 60000000000;
    struct turn turn = {.settle_ns = 1, .window_ns = 0};
    struct failure fail;

    if (turn_parse(&turn, bytes, used, &fail) == 0) {
        MUST(turn.settle_ns <= most_ns && turn.settle_ns % 1000 == 0);
        MUST(turn.window_ns >= 1000 && turn.window_ns <= most_ns);
        return;
    }
    MUST(turn.settle_ns == 1 && turn.window_ns == 0);
    MUST(strcmp(fail.code, "bad_request") == 0 && fail.err == EINVAL);
    for (const char *at = fail.msg; *at; at++)
        MUST(*at >= ' ' && *at <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = size < CONTROL_LINE_MAX ? size : CONTROL_LINE_MAX;
    size_t at = 0, used;
    char *bytes = malloc(length + 1);
    enum command command;

    memcpy(bytes, data, length);
    bytes = realloc(bytes, length ? length : 1);
    while ((command = command_read(bytes + at, length - at, &used)) != COMMAND_NONE) {
        MUST(used >= 1 && used <= length - at);
        MUST((command == COMMAND_READY) == (used == 6 && !memcmp(bytes + at, "ready\n", 6)));
        MUST((command == COMMAND_STOP) == (used == 5 && !memcmp(bytes + at, "stop\n", 5)));
        MUST((command == COMMAND_TURN) ==
             (used > 5 && !memcmp(bytes + at, "turn ", 5) && bytes[at + used - 1] == '\n'));
        if (command == COMMAND_TURN)
            check_turn(bytes + at, used);
        check_pieces(bytes + at, used, command);
        at += used;
    }
    MUST(used == 0 && !memchr(bytes + at, '\n', length - at));
    free(bytes);
    return 0;
}
