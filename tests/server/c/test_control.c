/* The wire format without sockets: shapes, requests, replies, and what address.c permits. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "check.h"
#include "clock.h"
#include "command.h"
#include "reply.h"
#include "request.h"

#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int resolver_fails; /* what getaddrinfo answers, 0: what it is */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (resolver_fails != 0)
        return resolver_fails;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}

static int parse(struct request *out, const char *text, struct failure *fail)
{
    return request_parse(out, text, strlen(text), fail);
}

static void check_shapes(void)
{
    size_t used = 0;
    char longest[CONTROL_LINE_MAX];

    CHECK(request_shape("t", 1, &used) == REQUEST_PARTIAL);
    CHECK(request_shape("test", 4, &used) == REQUEST_PARTIAL);
    CHECK(request_shape("test v=2", 8, &used) == REQUEST_PARTIAL);
    CHECK(request_shape("test v=2\nready\n", 15, &used) == REQUEST_WHOLE && used == 9);
    CHECK(request_shape("tea", 3, &used) == REQUEST_WHOLE && used == 3);
    CHECK(request_shape("1.2.3.4 5", 9, &used) == REQUEST_WHOLE && used == 9);
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "test ", 5);
    CHECK(request_shape(longest, sizeof longest - 1, &used) == REQUEST_PARTIAL);
    CHECK(request_shape(longest, sizeof longest, &used) == REQUEST_WHOLE);
}

static void check_requests(void)
{
    struct failure fail;
    struct request r;

    CHECK(parse(&r,
                "test v=2 addr=127.0.0.1 port=80 conns=7 msize=64 warmup_ms=10 runtime_ms=20 "
                "think_min_us=3 think_max_us=4 threads=2 engine=epoll token=abc\n",
                &fail) == 0);
    CHECK(r.version == 2 && r.conns == 7 && r.msize == 64 && r.threads == 2);
    CHECK(r.warmup_ns == 10 * NS_PER_MS && r.runtime_ns == 20 * NS_PER_MS);
    CHECK(r.think_min_ns == 3 * NS_PER_US && r.think_max_ns == 4 * NS_PER_US);
    CHECK(strcmp(r.engine, "epoll") == 0 && strcmp(r.token, "abc") == 0);
    CHECK(address_port(&r.targets.items[0]) == 80 && address_is_loopback(&r.targets.items[0]));
    CHECK(r.inflight == 1 && r.idle == 0);

    CHECK(parse(&r,
                "test v=2 addr=::1 port=80 conns=16384 msize=1 turns=1 inflight=1024 idle=983616\n",
                &fail) == 0);
    CHECK(r.inflight == 1024 && r.idle == 983616);
    CHECK(parse(&r, "test v=2 addr=::1 port=80 conns=16385 msize=1 turns=1 inflight=1024\n",
                &fail) < 0);

    CHECK(parse(&r, "10.1.2.3 33332 100 30 1000 2000 64", &fail) == 0);
    CHECK(r.version == 1 && r.conns == 100 && r.warmup_ns == 0);
    CHECK(r.runtime_ns == 30 * NS_PER_S);
    CHECK(r.think_min_ns == 1000 && r.think_max_ns == 2000);
    CHECK(!address_is_loopback(&r.targets.items[0]));

    r.conns = 12345;
    CHECK(parse(&r, "test v=2\n", &fail) < 0);
    CHECK(strcmp(fail.code, "bad_request") == 0);
    CHECK(r.conns == 12345); /* untouched on failure */
}

/* A server without memory says so, and not that the address is none. */
static void check_no_memory(void)
{
    static const char text[] = "test v=2 addr=127.0.0.1 port=80 conns=7 msize=64 warmup_ms=10 "
                               "runtime_ms=20\n";
    struct failure fail;
    struct request r;

    resolver_fails = EAI_MEMORY;
    CHECK(parse(&r, text, &fail) == -ENOMEM);
    CHECK(strcmp(fail.code, "internal") == 0 && strstr(fail.msg, "getaddrinfo") != NULL);
    resolver_fails = EAI_NONAME;
    CHECK(parse(&r, text, &fail) == -EINVAL);
    CHECK(strcmp(fail.code, "bad_request") == 0);
    resolver_fails = 0;
    CHECK(parse(&r, text, &fail) == 0);
}

static void check_turns(void)
{
    static const char line[] = "turn window_us=40000 settle_us=0\n";
    struct turn turn = {.window_ns = 5};
    struct failure fail;
    struct request r;
    size_t used;

    CHECK(parse(&r, "test v=2 addr=::1 port=80 conns=7 msize=64 turns=1\n", &fail) == 0);
    CHECK(r.turns && r.warmup_ns == 0 && r.runtime_ns == 0);
    CHECK(parse(&r, "test v=2 addr=::1 port=80 conns=7 msize=64 turns=0\n", &fail) < 0);
    CHECK(parse(&r, "test v=2 addr=::1 port=80 conns=7 msize=64\n", &fail) < 0);
    CHECK(strcmp(fail.msg, "warmup_ms is missing") == 0);
    CHECK(command_read(line, strlen(line), &used) == COMMAND_TURN && used == strlen(line));
    CHECK(command_read(line, 10, &used) == COMMAND_NONE && used == 0);
    CHECK(command_read("turn\n", 5, &used) == COMMAND_UNKNOWN && used == 5);
    CHECK(command_read("turning \n", 9, &used) == COMMAND_UNKNOWN);
    CHECK(turn_parse(&turn, "turn window_us=1\n", 17, &fail) < 0 && turn.window_ns == 5);
    CHECK(turn_parse(&turn, line, strlen(line), &fail) == 0);
    CHECK(turn.settle_ns == 0 && turn.window_ns == 40 * NS_PER_MS);
}

static void check_transports(void)
{
    char tls[400], pin[65];
    struct failure fail;
    struct request r;

    CHECK(parse(&r, "test v=2 addr=unix:/tmp/s conns=7 msize=64 turns=1\n", &fail) == 0);
    CHECK(address_is_unix(&r.targets.items[0]) && !r.tls);
    CHECK(parse(&r, "test v=2 addr=unix:/tmp/s port=1 conns=7 msize=64 turns=1\n", &fail) < 0);
    CHECK(parse(&r, "unix:/tmp/s 33332 100 30 0 0 64", &fail) < 0);
    CHECK(strstr(fail.msg, "numeric IPv4 or IPv6 address") && !strstr(fail.msg, "or unix"));

    memset(pin, 'a', 64);
    pin[64] = '\0';
    memcpy(pin, "00Ff1a", 6);
    snprintf(tls, sizeof tls,
             "test v=2 addr=::1 port=1 conns=7 msize=64 turns=1 transport=tls pin=%s\n", pin);
    CHECK(parse(&r, tls, &fail) == 0);
    CHECK(r.tls && r.pin[0] == 0 && r.pin[1] == 0xff && r.pin[2] == 0x1a && r.pin[31] == 0xaa);
    CHECK(parse(&r, "test v=2 addr=::1 port=1 conns=7 msize=64 turns=1 transport=plain\n", &fail) ==
          0);
    CHECK(!r.tls && r.pin[1] == 0);
}

static void check_long_values(void)
{
    char text[600] = "test v=2 addr=";
    struct failure fail;
    struct request r;

    memset(text + strlen(text), 'a', 500);
    strcat(text, "\n");
    CHECK(parse(&r, text, &fail) < 0);
    CHECK(strlen(fail.msg) < 200);
}

static void check_error_line(void)
{
    struct failure fail = {
        .code = "refused",
        .call = "connect",
        .addr = "127.0.0.1:9",
        .err = 111,
        .up = 3,
        .msg = "say \"hi\" \\ \n bye",
    };
    char *line = reply_error(&fail).text;

    CHECK(line && strcmp(line, "error code=refused call=connect addr=127.0.0.1:9 "
                               "reason=\"Connection refused\" up=3 "
                               "msg=\"say \\\"hi\\\" \\\\ ? bye\"\n") == 0);
    free(line);
}

/* Every bucket filled: the longest result there can be still keeps its lines short. */
static void check_full_result(void)
{
    static struct outcome outcome;
    struct request request = {.version = 2};
    struct reply reply;
    char *line, *rest;
    unsigned buckets = 0;

    outcome.engine = "epoll";
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        outcome.latency.counts[i] = UINT64_MAX;
    reply = reply_result(&request, &outcome);
    CHECK(reply.text && reply.length == strlen(reply.text));
    rest = reply.text;
    while ((line = strsep(&rest, "\n")) && *line) {
        CHECK(strlen(line) < CONTROL_LINE_MAX);
        if (strncmp(line, "hist ", 5) == 0)
            for (char *at = line; (at = strchr(at, '=')); at++)
                buckets++;
    }
    CHECK(buckets == HIST_BUCKETS);
    free(reply.text);
    request.version = 1;
    reply = reply_result(&request, &outcome);
    CHECK(reply.text && !strchr(reply.text, '\n'));
    free(reply.text);
}

static void check_permissions(void)
{
    static const struct {
        const char *peer, *target, *allow;
        bool may;
    } cases[] = {
        {"10.0.0.1", "10.0.0.1", NULL, true},
        {"10.0.0.1", "10.0.0.2", NULL, false},
        {"10.0.0.1", "127.0.0.1", NULL, false},
        {"127.0.0.1", "127.9.9.9", NULL, true},
        {"127.0.0.1", "::1", NULL, true},
        {"::1", "127.0.0.1", NULL, true},
        {"127.0.0.1", "10.0.0.1", NULL, false},
        {"::ffff:10.0.0.1", "10.0.0.1", NULL, true},
        {"10.0.0.1", "10.0.0.2", "10.0.0.0/30", true},
        {"10.0.0.1", "10.0.0.4", "10.0.0.0/30", false},
        {"10.0.0.1", "10.0.0.2", "10.0.0.2", true},
        {"10.0.0.1", "192.0.2.7", "0.0.0.0/0", true},
        {"10.0.0.1", "2001:db8::1", "0.0.0.0/0", false},
        {"10.0.0.1", "2001:db8::1", "2001:db8::/33", true},
        {"10.0.0.1", "2001:db8:8000::1", "2001:db8::/33", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address peer, target;
        struct network_list allow = {0};

        CHECK(address_parse(&peer, cases[i].peer, 0) == 0);
        CHECK(address_parse(&target, cases[i].target, 80) == 0);
        if (cases[i].allow)
            CHECK(network_parse(&allow.items[allow.count++], cases[i].allow) == 0);
        CHECK(address_may_target(&peer, &target, &allow) == cases[i].may);
    }
}

int main(void)
{
    check_shapes();
    check_requests();
    check_no_memory();
    check_turns();
    check_transports();
    check_long_values();
    check_error_line();
    check_full_result();
    check_permissions();
    return checks_report();
}
