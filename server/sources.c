/* sources.c - see sources.h. */
#define _GNU_SOURCE
#include "sources.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LOOPBACK_SOURCES = 250,
    PORTS = 65536,
    MARGIN = 16, /* that part of the half stays free: other programs' sockets, and a short search */
};

static const char RANGE_FILE[] = "/proc/sys/net/ipv4/ip_local_port_range"; /* IPv6 has it too */
static const char RESERVED_FILE[] = "/proc/sys/net/ipv4/ip_local_reserved_ports";

static bool is_skipped(const struct sources *s, uint32_t port)
{
    return s->skipped[port / 8] >> port % 8 & 1;
}

/* The file holds PORT or FIRST-LAST, separated by commas. */
static void read_reserved(struct sources *s)
{
    FILE *file = fopen(RESERVED_FILE, "re");
    unsigned first, last;

    if (!file)
        return;
    while (fscanf(file, "%u", &first) == 1) {
        int mark = fgetc(file);

        last = first;
        if (mark == '-') {
            if (fscanf(file, "%u", &last) != 1)
                break;
            mark = fgetc(file);
        }
        for (unsigned port = first; port <= last && port < PORTS; port++)
            s->skipped[port / 8] |= (uint8_t)(1 << port % 8);
        if (mark != ',')
            break;
    }
    fclose(file);
}

static void read_range(struct sources *s)
{
    FILE *file = fopen(RANGE_FILE, "re");
    unsigned low, high;

    s->low = 32768;
    s->ports = 60999 - 32768 + 1;
    if (!file)
        return;
    if (fscanf(file, "%u %u", &low, &high) == 2 && low > 0 && low <= high && high < PORTS) {
        s->low = low;
        s->ports = high - low + 1;
    }
    fclose(file);
}

/* The kernel looks through the ports at even distances from the lowest before the others. */
static uint32_t count_half(const struct sources *s)
{
    uint32_t half = 0;

    for (uint32_t i = 0; i < s->ports; i += 2)
        half += !is_skipped(s, s->low + i);
    return half - half / MARGIN;
}

static void list_given(struct sources *s, const struct address_list *listed)
{
    for (unsigned i = 0; i < listed->count; i++)
        if (listed->items[i].sa.ss_family == s->family)
            s->items[s->count++].address = listed->items[i];
    s->in_turns = true;
}

static void list_loopback(struct sources *s)
{
    for (s->count = 1; s->count <= LOOPBACK_SOURCES; s->count++) {
        struct address *address = &s->items[s->count].address;
        struct sockaddr_in *v4 = (struct sockaddr_in *)&address->sa;

        address->len = sizeof *v4;
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK + s->count); /* 127.0.0.2 and on */
    }
}

int sources_init(struct sources *s, const struct address *target, const struct address_list *listed)
{
    *s = (struct sources){.family = target->sa.ss_family};
    s->items = calloc(LOOPBACK_SOURCES + 1, sizeof *s->items);
    s->skipped = calloc(PORTS / 8, 1);
    if (!s->items || !s->skipped)
        return -ENOMEM;
    if (s->family == AF_UNIX) { /* nothing to bind to, and no ports to run out of */
        s->count = 1;
        s->half = UINT32_MAX;
        return 0;
    }
    read_range(s);
    read_reserved(s);
    s->half = count_half(s);
    if (listed->count > 0)
        list_given(s, listed);
    else if (s->family == AF_INET && address_is_loopback(target))
        list_loopback(s);
    else
        s->count = 1;
    return s->count > 0 ? 0 : -EAFNOSUPPORT;
}

void sources_free(struct sources *s)
{
    free(s->items);
    free(s->skipped);
}

int sources_pick(struct sources *s)
{
    if (!s->in_turns) {
        for (; s->next < s->count; s->next++)
            if (!s->items[s->next].spent && s->items[s->next].used < s->half)
                return (int)s->next;
        s->in_turns = true; /* half of everything is used: now what is left of each */
    }
    for (unsigned i = 0; i < s->count; i++) {
        unsigned index = s->next++ % s->count;

        if (!s->items[index].spent)
            return (int)index;
    }
    return -EADDRNOTAVAIL;
}

/* The i-th port to try by number, 0 <= i < ports: those that the kernel would look at last first.
 */
static uint32_t port_to_try(const struct sources *s, uint32_t i)
{
    uint32_t odd = s->ports / 2;

    return s->low + (i < odd ? 2 * i + 1 : 2 * (i - odd));
}

static int bind_to(const struct sources *s, const struct address *address, uint32_t port, int fd)
{
    struct address any = {.len = s->family == AF_INET ? sizeof(struct sockaddr_in)
                                                      : sizeof(struct sockaddr_in6)};

    any.sa.ss_family = (sa_family_t)s->family;
    if (address->len > 0)
        any = *address;
    /* sin_port and sin6_port lie at the same offset */
    ((struct sockaddr_in *)&any.sa)->sin_port = htons((uint16_t)port);
    return bind(fd, (const struct sockaddr *)&any.sa, any.len) < 0 ? -errno : 0;
}

/* Bind to a port that is free. Returns 0, -EADDRINUSE when all have been tried, or why not. */
static int bind_port(struct sources *s, struct source *source, int fd)
{
    int one = 1;
    int err;

    /* one that still waits after a test before may be had again: connect looks at the target too */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    while (source->tried < s->ports) {
        uint32_t port = port_to_try(s, source->tried++);

        if (is_skipped(s, port))
            continue;
        if ((err = bind_to(s, &source->address, port, fd)) != -EADDRINUSE)
            return err;
    }
    return -EADDRINUSE;
}

int sources_bind(struct sources *s, unsigned index, int fd)
{
    struct source *source = &s->items[index];
    int one = 1;
    int err;

    source->used++;
    if (source->used > s->half) {
        err = bind_port(s, source, fd);
        if (err != -EADDRINUSE)
            return err < 0 ? err : BOUND_PORT;
    }
    if (source->address.len == 0)
        return BOUND_ADDRESS;
    /* The port is chosen at connect, so that one port may serve several targets. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    err = bind_to(s, &source->address, 0, fd);
    return err < 0 ? err : BOUND_ADDRESS;
}

void sources_return(struct sources *s, unsigned index)
{
    s->items[index].used--;
}

void sources_spend(struct sources *s, unsigned index)
{
    s->items[index].spent = true;
}
