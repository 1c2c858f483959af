/* targets.c - see targets.h. */
#define _GNU_SOURCE
#include "targets.h"

#include "control.h"
#include "words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* or_else: what else the address might have been. */
static int add_ip(struct address_list *targets, const char *addr, uint64_t port,
                  const char *or_else, struct failure *fail)
{
    char shown[QUOTED_BYTES];
    int err = address_parse(&targets->items[targets->count], addr, (uint16_t)port);

    if (err == -ENOMEM)
        return failure_set(fail, "internal", ENOMEM, "getaddrinfo: %s", strerror(ENOMEM));
    if (err < 0)
        return failure_set(fail, "bad_request", EINVAL,
                           "addr=%s: expected a numeric IPv4 or IPv6 address%s",
                           word_quote(addr, shown), or_else);
    targets->count++;
    return 0;
}

static int add_unix(struct address_list *targets, const char *addr, struct failure *fail)
{
    char shown[QUOTED_BYTES];

    if (address_parse_unix(&targets->items[targets->count], addr) < 0)
        return failure_set(fail, "bad_request", EINVAL,
                           "addr=%s: expected unix:/PATH or unix:@NAME, of at most 107 "
                           "characters from / or @ on and without a comma",
                           word_quote(addr, shown));
    targets->count++;
    return 0;
}

int targets_one(struct address_list *targets, const char *addr, uint64_t port, struct failure *fail)
{
    return add_ip(targets, addr, port, "", fail);
}

int targets_parse(struct address_list *targets, const char *addr, const char *ports,
                  struct failure *fail)
{
    bool is_unix = address_means_unix(addr);
    char text[CONTROL_LINE_MAX];
    char *rest = text;
    char *word;
    uint64_t port = 0;
    int err;

    snprintf(text, sizeof text, "%s", is_unix ? addr : ports);
    while ((word = strsep(&rest, ","))) {
        if (is_unix && !address_means_unix(word))
            return failure_set(fail, "bad_request", EINVAL,
                               "addr: Unix sockets with commas between, each unix:...");
        if (!is_unix && (err = word_number(&port, "port", word, 1, TARGETS_PORT_MAX, fail)) < 0)
            return err;
        if (targets->count == ADDRESS_LIST_MAX)
            return failure_set(fail, "bad_request", EINVAL, "%s: at most %d %s",
                               is_unix ? "addr" : "port", ADDRESS_LIST_MAX,
                               is_unix ? "Unix sockets" : "ports");
        err = is_unix ? add_unix(targets, word, fail)
                      : add_ip(targets, addr, port, ", unix:/PATH or unix:@NAME", fail);
        if (err < 0)
            return err;
    }
    return 0;
}
