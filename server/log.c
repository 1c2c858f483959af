/* log.c - see log.h. */
#define _GNU_SOURCE
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void log_line(const char *format, ...)
{
    static unsigned dropped;
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    char text[1024]; /* less than PIPE_BUF: it goes out whole */
    size_t length, start;
    va_list args;

    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) {
        dropped++;
        return;
    }
    length = (size_t)snprintf(text, sizeof text, "pybench-server: ");
    if (dropped)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "(%u lines dropped: nobody read them) ", dropped);
    dropped = 0;
    start = length;
    va_start(args, format);
    vsnprintf(text + length, sizeof text - 1 - length, format, args);
    va_end(args);
    length = strlen(text);
    for (size_t i = start; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?'; /* whatever it was made of: one line, and no control codes */
    text[length++] = '\n';
    (void)!write(STDERR_FILENO, text, length);
}
