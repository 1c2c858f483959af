/* options.c - see options.h. */
#define _GNU_SOURCE
#include "options.h"

#include "control.h"
#include "engine.h"
#include "transport.h"
#include "words.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PYBENCH_VERSION
#define PYBENCH_VERSION "unknown"
#endif

static const char HELP[] =
    "Usage: pybench-server [options]\n"
    "The load server of pybench: connects to a client under test, sends pings, measures.\n"
    "\n"
    "  --listen HOST:PORT   where control clients come in (default 127.0.0.1:33331; port 0\n"
    "                       picks one; [ADDR]:PORT for IPv6)\n"
    "  --threads N          ping threads (default: one per CPU it may run on, at most 3); as many\n"
    "                       as it takes where open files are limited, each has a table of them\n"
    "  --cpus LIST          run on these CPUs only, as in 1,3-5\n"
    "  --engine NAME        epoll (default) or uring, unless a request names one;\n"
    "                       null moves no bytes: what a ping costs the server itself\n"
    "  --source IP,IP...    local addresses to connect from, in turn\n"
    "  --allow CIDR,...     networks that any control client may have connections opened to,\n"
    "                       besides its own address\n"
    "  --once               end after one test\n"
    "  --quiet              no line per test on stderr\n"
    "  --die-with-parent    end when the process that started it ends\n"
    "  --version            print the version, and what was built in, and exit\n"
    "  --help               print this and exit\n"
    "\n"
    "Environment: PYBENCH_TOKEN, if set, must come with every version 2 request as token=:\n"
    "1 to 256 printable ASCII characters without a blank.\n";

static _Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void usage_error(const char *format, ...)
{
    va_list args;

    fputs("pybench-server: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (see pybench-server --help)\n", stderr);
    exit(2);
}

/* A whole number in [low, high] that ends at a byte of stops; *text moves to that byte. */
static bool read_number(const char **text, const char *stops, long low, long high, long *out)
{
    char *end;
    long value;

    if (**text < '0' || **text > '9')
        return false;
    value = strtol(*text, &end, 10);
    if (value < low || value > high || !strchr(stops, *end))
        return false;
    *text = end;
    *out = value;
    return true;
}

static void parse_listen(struct options *options, const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *host = text, *port = colon ? colon + 1 : "";
    size_t length = colon ? (size_t)(colon - text) : 0;
    long number;

    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    } else if (memchr(host, ':', length)) {
        usage_error("--listen %s: write an IPv6 address as [ADDR]:PORT", text);
    }
    if (length == 0 || length >= sizeof options->host || !read_number(&port, "", 0, 65535, &number))
        usage_error("--listen %s: expected HOST:PORT with a port from 0 to 65535", text);
    memcpy(options->host, host, length);
    options->host[length] = '\0';
    snprintf(options->port, sizeof options->port, "%ld", number);
}

static void parse_threads(struct options *options, const char *text)
{
    const char *at = text;
    long number;

    if (!read_number(&at, "", 1, CONTROL_THREADS_MAX, &number))
        usage_error("--threads %s: expected a whole number from 1 to %d", text,
                    CONTROL_THREADS_MAX);
    options->session.threads = (unsigned)number;
}

static void parse_engine(struct options *options, const char *text)
{
    const struct engine *engine = engine_find(text);

    if (!engine)
        usage_error("--engine %s: there are epoll, uring and null", text);
    if (engine->unavailable())
        usage_error("--engine %s: %s", text, engine->unavailable());
    options->session.engine = engine->name;
}

static void parse_cpus(struct options *options, const char *text)
{
    const char *at = text;
    long first, last;

    CPU_ZERO(&options->cpus);
    options->has_cpus = true;
    do {
        if (!read_number(&at, ",-", 0, CPU_SETSIZE - 1, &first))
            usage_error("--cpus %s: expected CPU numbers, as in 1,3-5", text);
        last = first;
        if (*at == '-') {
            at++;
            if (!read_number(&at, ",", first, CPU_SETSIZE - 1, &last))
                usage_error("--cpus %s: expected CPU numbers, as in 1,3-5", text);
        }
        for (long cpu = first; cpu <= last; cpu++)
            CPU_SET((size_t)cpu, &options->cpus);
    } while (*at++ == ',');
}

/* Call add for each comma-separated part of text; it returns whether it took the part. */
static void parse_list(const char *name, const char *text, struct options *options,
                       bool (*add)(struct options *, const char *))
{
    char *copy = strdup(text);
    char *rest = copy;
    const char *part;

    if (!copy)
        usage_error("%s: no memory for the list", name);
    while ((part = strsep(&rest, ",")))
        if (!add(options, part))
            usage_error("%s %s: '%s' is not a numeric address%s, or there are more than %d", name,
                        text, part, strcmp(name, "--allow") == 0 ? " or ADDR/PREFIX" : "",
                        ADDRESS_LIST_MAX);
    free(copy);
}

static bool add_source(struct options *options, const char *text)
{
    struct address_list *list = &options->session.sources;

    return list->count < ADDRESS_LIST_MAX &&
           address_parse(&list->items[list->count], text, 0) == 0 && ++list->count;
}

static bool add_network(struct options *options, const char *text)
{
    struct network_list *list = &options->session.allow;

    return list->count < ADDRESS_LIST_MAX && network_parse(&list->items[list->count], text) == 0 &&
           ++list->count;
}

/* The second line is for whoever wonders why something cannot be had. */
static void print_version(void)
{
    static const char *const names[] = {"epoll", "uring", "null"};

    fputs("pybench-server " PYBENCH_VERSION "\nengines:", stdout);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct engine *engine = engine_find(names[i]);

        if (engine && !engine->unavailable())
            printf(" %s", names[i]);
    }
    printf("; transports: tcp unix%s%s%s\n", tls_unavailable() ? "" : " tls (OpenSSL ",
           tls_unavailable() ? "" : tls_library(), tls_unavailable() ? "" : ")");
}

static void parse_option(struct options *options, int option)
{
    switch (option) {
    case 'l':
        parse_listen(options, optarg);
        break;
    case 't':
        parse_threads(options, optarg);
        break;
    case 'c':
        parse_cpus(options, optarg);
        break;
    case 'e':
        parse_engine(options, optarg);
        break;
    case 's':
        parse_list("--source", optarg, options, add_source);
        break;
    case 'a':
        parse_list("--allow", optarg, options, add_network);
        break;
    case 'o':
        options->once = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    case 'd':
        options->die_with_parent = true;
        break;
    case 'v':
        print_version();
        exit(0);
    case 'h':
        fputs(HELP, stdout);
        exit(0);
    }
}

static void parse_token(struct options *options)
{
    const char *token = getenv("PYBENCH_TOKEN");

    if (!token || !*token)
        return;
    if (!word_is_text(token, CONTROL_TOKEN_MAX))
        usage_error("PYBENCH_TOKEN: expected 1 to %d printable ASCII characters without a blank",
                    CONTROL_TOKEN_MAX); /* and not what it is: it is a secret */
    options->session.token = token;
}

void options_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"threads", required_argument, NULL, 't'},
        {"engine", required_argument, NULL, 'e'},
        {"cpus", required_argument, NULL, 'c'},
        {"source", required_argument, NULL, 's'},
        {"allow", required_argument, NULL, 'a'},
        {"once", no_argument, NULL, 'o'},
        {"quiet", no_argument, NULL, 'q'},
        {"die-with-parent", no_argument, NULL, 'd'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;

    *options = (struct options){
        .host = "127.0.0.1",
        .port = "33331",
        .session = {.engine = engine_epoll.name},
    };
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        if (option == ':')
            usage_error("%s needs a value", argv[optind - 1]);
        if (option == '?')
            usage_error("unknown option %s", argv[optind - 1]);
        parse_option(options, option);
    }
    if (optind < argc)
        usage_error("unexpected argument '%s'", argv[optind]);
    parse_token(options);
}
