/* address.c - see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const struct sockaddr_in *as_v4(const struct address *address)
{
    return (const struct sockaddr_in *)&address->sa;
}

static const struct sockaddr_in6 *as_v6(const struct address *address)
{
    return (const struct sockaddr_in6 *)&address->sa;
}

static const struct sockaddr_un *as_unix(const struct address *address)
{
    return (const struct sockaddr_un *)&address->sa;
}

/* The address bytes, network order; their number goes to *size. */
static const uint8_t *address_bytes(const struct address *address, size_t *size)
{
    if (address->sa.ss_family == AF_INET) {
        *size = 4;
        return (const uint8_t *)&as_v4(address)->sin_addr;
    }
    *size = 16;
    return as_v6(address)->sin6_addr.s6_addr;
}

int address_parse(struct address *out, const char *text, uint16_t port)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found;
    struct in_addr v4;
    char service[8];
    int err;

    /* getaddrinfo takes "127.1" and "0x7f000001" for addresses; a request has no need of those. */
    if (!strchr(text, ':') && inet_pton(AF_INET, text, &v4) != 1)
        return -EINVAL;
    snprintf(service, sizeof service, "%u", (unsigned)port);
    err = getaddrinfo(text, service, &hints, &found);
    if (err != 0)
        return err == EAI_MEMORY || (err == EAI_SYSTEM && errno == ENOMEM) ? -ENOMEM : -EINVAL;
    *out = (struct address){.len = found->ai_addrlen};
    memcpy(&out->sa, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    address_unmap(out);
    return 0;
}

static const char UNIX_PREFIX[] = "unix:";

bool address_means_unix(const char *text)
{
    return strncmp(text, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0;
}

bool address_is_unix(const struct address *address)
{
    return address->sa.ss_family == AF_UNIX;
}

int address_parse_unix(struct address *out, const char *text)
{
    const char *name = text + sizeof UNIX_PREFIX - 1;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t length;

    if (!address_means_unix(text) || (*name != '/' && *name != '@') || !name[1])
        return -EINVAL;
    length = strlen(name);
    if (length >= sizeof at.sun_path || strchr(name, ','))
        return -EINVAL;
    memcpy(at.sun_path, name, length);
    if (*name == '@')
        at.sun_path[0] = '\0'; /* what follows is the name, without a zero byte at its end */
    *out = (struct address){
        .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*name == '/')),
    };
    memcpy(&out->sa, &at, sizeof at);
    return 0;
}

int network_parse(struct network *out, const char *text)
{
    char host[ADDRESS_TEXT];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    struct network parsed;
    unsigned long prefix;
    size_t size;
    char *end;

    if (length >= sizeof host)
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    if (address_parse(&parsed.base, host, 0) < 0)
        return -EINVAL;
    address_bytes(&parsed.base, &size);
    parsed.prefix = (unsigned)size * 8;
    if (slash) {
        if (slash[1] < '0' || slash[1] > '9')
            return -EINVAL;
        prefix = strtoul(slash + 1, &end, 10);
        if (*end || prefix > size * 8)
            return -EINVAL;
        parsed.prefix = (unsigned)prefix;
    }
    *out = parsed;
    return 0;
}

static const char *print_unix(const struct address *address, char buf[ADDRESS_TEXT])
{
    const char *path = as_unix(address)->sun_path;
    size_t length = address->len - offsetof(struct sockaddr_un, sun_path);

    if (*path)
        snprintf(buf, ADDRESS_TEXT, "%s%.*s", UNIX_PREFIX, (int)length, path);
    else
        snprintf(buf, ADDRESS_TEXT, "%s@%.*s", UNIX_PREFIX, (int)length - 1, path + 1);
    return buf;
}

const char *address_print(const struct address *address, bool with_port, char buf[ADDRESS_TEXT])
{
    char host[ADDRESS_TEXT - 10];

    if (address_is_unix(address))
        return print_unix(address, buf);
    if (getnameinfo((const struct sockaddr *)&address->sa, address->len, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(host, sizeof host, "?");
    if (!with_port)
        snprintf(buf, ADDRESS_TEXT, "%s", host);
    else if (address->sa.ss_family == AF_INET6)
        snprintf(buf, ADDRESS_TEXT, "[%s]:%u", host, address_port(address));
    else
        snprintf(buf, ADDRESS_TEXT, "%s:%u", host, address_port(address));
    return buf;
}

uint16_t address_port(const struct address *address)
{
    /* sin_port and sin6_port lie at the same offset. */
    return ntohs(as_v4(address)->sin_port);
}

bool address_is_loopback(const struct address *address)
{
    if (address_is_unix(address))
        return false;
    if (address->sa.ss_family == AF_INET)
        return ntohl(as_v4(address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&as_v6(address)->sin6_addr);
}

void address_unmap(struct address *address)
{
    struct sockaddr_in plain = {.sin_family = AF_INET};
    const struct sockaddr_in6 *mapped = as_v6(address);

    if (address->sa.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&mapped->sin6_addr))
        return;
    plain.sin_port = mapped->sin6_port;
    memcpy(&plain.sin_addr, mapped->sin6_addr.s6_addr + 12, 4);
    *address = (struct address){.len = sizeof plain};
    memcpy(&address->sa, &plain, sizeof plain);
}

bool address_is_any(const struct address *address)
{
    static const uint8_t zeros[16];
    size_t size;
    const uint8_t *bytes = address_bytes(address, &size);

    return memcmp(bytes, zeros, size) == 0;
}

void address_set_host(struct address *address, const struct address *from)
{
    in_port_t port = as_v4(address)->sin_port; /* at the same offset in both families */

    *address = *from;
    ((struct sockaddr_in *)&address->sa)->sin_port = port;
}

/* The link that the address is of, 0 when that is not said or does not matter. */
static uint32_t address_link(const struct address *address)
{
    const struct sockaddr_in6 *v6 = as_v6(address);

    if (address->sa.ss_family != AF_INET6 ||
        (!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && !IN6_IS_ADDR_MC_LINKLOCAL(&v6->sin6_addr)))
        return 0;
    return v6->sin6_scope_id;
}

void address_complete(struct address *address, const struct address *peer)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address->sa;

    if (address->sa.ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) &&
        v6->sin6_scope_id == 0)
        v6->sin6_scope_id = address_link(peer);
}

/* Whether the first prefix bits of both are the same, and the families. */
static bool same_prefix(const struct address *a, const struct address *b, unsigned prefix)
{
    size_t a_size, b_size;
    const uint8_t *a_bytes = address_bytes(a, &a_size);
    const uint8_t *b_bytes = address_bytes(b, &b_size);
    unsigned whole = prefix / 8, rest = prefix % 8;

    if (a_size != b_size || memcmp(a_bytes, b_bytes, whole) != 0)
        return false;
    return rest == 0 || (a_bytes[whole] ^ b_bytes[whole]) >> (8 - rest) == 0;
}

/* A network without a link is of every link. */
static bool network_contains(const struct network *network, const struct address *address)
{
    uint32_t link = address_link(&network->base);

    return same_prefix(&network->base, address, network->prefix) &&
           (link == 0 || link == address_link(address));
}

/* Whether inner is a part of outer, or all of it. */
static bool network_includes(const struct network *outer, const struct network *inner)
{
    return inner->prefix >= outer->prefix && same_prefix(&outer->base, &inner->base, outer->prefix);
}

/* Whether network may speak for target: see address_may_target. */
static bool network_means(const struct network *network, const struct address *target)
{
    static const char *const special[] = {
        "0.0.0.0/8",           "127.0.0.0/8",
        "169.254.0.0/16",      "100.100.100.200",
        "192.0.0.192",         "224.0.0.0/4",
        "240.0.0.0/4",         "::/96",
        "fe80::/10",           "ff00::/8",
        "fd00:ec2::254",       "fd20:ce::254",
        "64:ff9b::7f00:0/104", "64:ff9b::a9fe:0/112",
        "2002:7f00::/24",      "2002:a9fe::/32",
    };
    struct network range;

    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (network_parse(&range, special[i]) < 0 ||
            (network_contains(&range, target) && !network_includes(&range, network)))
            return false;
    return true;
}

bool address_may_target(const struct address *peer, const struct address *target,
                        const struct network_list *allow)
{
    size_t size;

    address_bytes(peer, &size);
    if (address_is_unix(target))
        return address_is_loopback(peer);
    if (same_prefix(peer, target, (unsigned)size * 8) && address_link(peer) == address_link(target))
        return true;
    if (address_is_loopback(peer) && address_is_loopback(target))
        return true;
    for (unsigned i = 0; i < allow->count; i++)
        if (network_contains(&allow->items[i], target) && network_means(&allow->items[i], target))
            return true;
    return false;
}
