/* failure.c - see failure.h. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *fail, const char *code, int err, const char *format, ...)
{
    va_list args;

    *fail = (struct failure){.code = code, .err = err, .up = -1};
    va_start(args, format);
    vsnprintf(fail->msg, sizeof fail->msg, format, args);
    va_end(args);
    return -err;
}
