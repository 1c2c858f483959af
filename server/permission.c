/* permission.c - see permission.h. */
#define _GNU_SOURCE
#include "permission.h"

#include "address.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

enum { WRONG_TOKEN_MS = 100 };

/* Takes as long whichever byte is the first that differs. given is padded with zeros. */
static bool same_token(const char *known, const char given[CONTROL_TOKEN_MAX + 1])
{
    char padded[CONTROL_TOKEN_MAX + 1] = {0};
    volatile unsigned differing = 0;

    snprintf(padded, sizeof padded, "%s", known); /* not longer: see options.c */
    for (size_t i = 0; i < sizeof padded; i++)
        differing |= (unsigned)(padded[i] ^ given[i]);
    return differing == 0;
}

static int check_token(const struct request *request, const struct session_config *config,
                       const struct talk *talk, struct failure *fail)
{
    struct pollfd stop = {.fd = talk->stop_fd, .events = POLLIN};

    if (!config->token || same_token(config->token, request->token))
        return 0;
    if (*request->token) /* a guess, ten a second at most: nobody else is heard meanwhile */
        poll(&stop, 1, WRONG_TOKEN_MS);
    return failure_set(fail, "forbidden", EACCES,
                       "this server asks for a token: set PYBENCH_TOKEN as it has it");
}

/* A Unix socket is of this host, and so must be who names it. */
static int check_unix(const struct session_config *config, const struct address *peer,
                      const struct address *target, struct failure *fail)
{
    char from[ADDRESS_TEXT], to[ADDRESS_TEXT];

    address_print(peer, false, from);
    address_print(target, false, to);
    if (!address_is_loopback(peer))
        return failure_set(fail, "bad_request", EINVAL,
                           "addr=%s: a Unix socket is for a control client on loopback, and this "
                           "one is at %s; use an address and a port",
                           to, from);
    if (config->sources.count > 0)
        return failure_set(fail, "bad_request", EINVAL,
                           "addr=%s: there is nothing to connect from to a Unix socket; start the "
                           "server without --source",
                           to);
    return 0;
}

/* A load generator that connects wherever a stranger says is a weapon: see address_may_target. */
static int check_target(int version, const struct session_config *config,
                        const struct address *peer, struct address *target, struct failure *fail)
{
    char from[ADDRESS_TEXT], to[ADDRESS_TEXT];

    if (address_is_unix(target))
        return check_unix(config, peer, target, fail);
    if (version == 1 && address_is_any(target))
        address_set_host(target, peer); /* it told us what it binds to */
    address_complete(target, peer);
    if (address_may_target(peer, target, &config->allow))
        return 0;
    return failure_set(fail, "forbidden", EACCES,
                       "a client at %s may not have connections opened to %s; start the server "
                       "with --allow %s to permit it",
                       address_print(peer, false, from), address_print(target, false, to), to);
}

int permission_check(struct request *request, const struct session_config *config,
                     const struct talk *talk, struct failure *fail)
{
    struct address_list *targets = &request->targets;
    struct address peer = {.len = sizeof peer.sa};
    int err;

    if ((err = check_token(request, config, talk, fail)) < 0)
        return err;
    if (getpeername(talk->fd, (struct sockaddr *)&peer.sa, &peer.len) < 0)
        return -ECANCELED;
    address_unmap(&peer);
    for (unsigned i = 0; i < targets->count; i++)
        if ((err = check_target(request->version, config, &peer, &targets->items[i], fail)) < 0)
            return err;
    return 0;
}
