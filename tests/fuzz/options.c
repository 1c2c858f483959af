/* The server's command line: words that end in a zero byte each. What is taken keeps its bounds.
 * options.c is compiled with fuzz_exit for exit, which comes back here. */
#define _GNU_SOURCE
#include "options.h"

#include "engine.h"
#include "must.h"

#include <getopt.h>
#include <setjmp.h>
#include <string.h>

enum { WORDS_MAX = 40 };

static jmp_buf ended;

_Noreturn void fuzz_exit(int status);

_Noreturn void fuzz_exit(int status)
{
    MUST(status == 0 || status == 2);
    longjmp(ended, 1);
}

/* The engines themselves stay outside. */
static const char *no_reason(void)
{
    return NULL;
}

const struct engine engine_epoll = {.name = "epoll", .unavailable = no_reason};

const struct engine *engine_find(const char *name)
{
    return strcmp(name, "epoll") == 0 ? &engine_epoll : NULL;
}

static void check(const struct options *options)
{
    const struct session_config *session = &options->session;

    MUST(memchr(options->host, 0, sizeof options->host) && *options->host);
    MUST(memchr(options->port, 0, sizeof options->port) && atoi(options->port) <= 65535);
    MUST(session->threads <= CONTROL_THREADS_MAX);
    MUST(session->engine == engine_epoll.name);
    MUST(session->sources.count <= ADDRESS_LIST_MAX && session->allow.count <= ADDRESS_LIST_MAX);
    for (unsigned i = 0; i < session->allow.count; i++) {
        const struct network *network = &session->allow.items[i];

        MUST(network->prefix <= (network->base.sa.ss_family == AF_INET ? 32 : 128));
    }
    MUST(!options->has_cpus || CPU_COUNT(&options->cpus) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options;
    static char *words[WORDS_MAX + 1];
    static char *copy;
    int count = 1;

    free(copy); /* of the last call: longjmp leaves locals behind */
    copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy[size] = '\0';
    memset(words, 0, sizeof words);
    words[0] = "pybench-server";
    for (char *at = copy; at < copy + size && count < WORDS_MAX; at += strlen(at) + 1)
        words[count++] = at;
    optind = 0; /* getopt begins anew */
    if (setjmp(ended) == 0) {
        options_parse(&options, count, words);
        check(&options);
    }
    return 0;
}
