/* failure.h - why a test could not go on, in the words of the control protocol's `error` line.
 *
 * A function that can fail for reasons a person must hear fills a struct failure on its way out and
 * returns a negative errno; session.c sends it. Plain data: nothing to free.
 */
#ifndef PYBENCH_FAILURE_H
#define PYBENCH_FAILURE_H

struct failure {
    const char *code; /* static: a word of the list in control.h; NULL when nothing failed */
    const char *call; /* static name of the system call, or NULL */
    char addr[128];   /* the object it was about, empty when there is none */
    int err;          /* errno of the call, 0 when there is none */
    int up;           /* connections that were up, -1 when it does not apply */
    char msg[640];    /* one line: what went wrong and what to do */
};

/* Fill fail with code and a formatted message (the other fields are cleared); returns -err. */
int failure_set(struct failure *fail, const char *code, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
