/* What follows a request: each line is one command, wherever the segments were cut. */
#include "control.h"
#include "must.h"

#include <stdlib.h>
#include <string.h>

/* The first command of bytes must be the same when they arrive one by one. */
static void check_pieces(const char *bytes, size_t used, enum control_command whole)
{
    size_t taken;

    for (size_t part = 0; part < used; part += 1 + used / 16) {
        MUST(control_command(bytes, part, &taken) == COMMAND_NONE);
        MUST(taken == 0);
    }
    MUST(control_command(bytes, used, &taken) == whole && taken == used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = size < CONTROL_LINE_MAX ? size : CONTROL_LINE_MAX;
    size_t at = 0, used;
    char *bytes = malloc(length + 1);
    enum control_command command;

    memcpy(bytes, data, length);
    bytes = realloc(bytes, length ? length : 1);
    while ((command = control_command(bytes + at, length - at, &used)) != COMMAND_NONE) {
        MUST(used >= 1 && used <= length - at);
        MUST((command == COMMAND_READY) == (used == 6 && !memcmp(bytes + at, "ready\n", 6)));
        MUST((command == COMMAND_STOP) == (used == 5 && !memcmp(bytes + at, "stop\n", 5)));
        check_pieces(bytes + at, used, command);
        at += used;
    }
    MUST(used == 0 && !memchr(bytes + at, '\n', length - at));
    free(bytes);
    return 0;
}
