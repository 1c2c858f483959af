/* address.h - IP addresses and Unix sockets: parse, print, compare, and who may be connected to.
 *
 * No name is ever resolved here: a request names numeric addresses only. Threads: any.
 */
#ifndef PYBENCH_ADDRESS_H
#define PYBENCH_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    ADDRESS_TEXT = 128,    /* bytes that hold any printed address with port */
    ADDRESS_LIST_MAX = 64, /* entries of --source and of --allow */
};

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct network {
    struct address base;
    unsigned prefix; /* leading bits that count: 0..32 or 0..128 */
};

struct network_list {
    unsigned count;
    struct network items[ADDRESS_LIST_MAX];
};

struct address_list {
    unsigned count;
    struct address items[ADDRESS_LIST_MAX];
};

/* Parse a numeric IPv4 or IPv6 address (a %scope is allowed). Returns 0, -EINVAL or -ENOMEM. */
int address_parse(struct address *out, const char *text, uint16_t port);

/* Parse unix:/PATH, or unix:@NAME for an abstract one, of printable ASCII without a comma. Returns
 * 0 or -EINVAL, when it is too long too. It has no port, is not loopback and of no network. */
int address_parse_unix(struct address *out, const char *text);

/* Whether the text of an address means a Unix socket, good or not. */
bool address_means_unix(const char *text);

bool address_is_unix(const struct address *address);

/* Parse ADDR/PREFIX, or ADDR alone for one host. Returns 0 or -EINVAL. */
int network_parse(struct network *out, const char *text);

/* Print as 127.0.0.1:80 or [::1]:80; without port when with_port is false; a Unix socket as it is
 * parsed. Returns buf. */
const char *address_print(const struct address *address, bool with_port, char buf[ADDRESS_TEXT]);

uint16_t address_port(const struct address *address);
bool address_is_loopback(const struct address *address);

/* An IPv4 address that arrived over an IPv6 socket (::ffff:a.b.c.d) becomes plain IPv4. */
void address_unmap(struct address *address);

/* 0.0.0.0 or ::, with any port. */
bool address_is_any(const struct address *address);

/* Make address the host of from, and keep its port. */
void address_set_host(struct address *address, const struct address *from);

/* A link-local address without a scope lies on the link that peer comes in by. */
void address_complete(struct address *address, const struct address *peer);

/* Whether a test asked for by peer may be aimed at target: peer's own address, any loopback address
 * for a loopback peer, or a network of the list. Of a link-local address the link counts too. A
 * Unix socket is for a loopback peer only.
 *
 * What no operator means by a wide network such as 0.0.0.0/0 is in none: this host, loopback,
 * link-local addresses, multicast, and where clouds keep their metadata. Such a target needs a
 * network of the list that lies wholly inside that special range. */
bool address_may_target(const struct address *peer, const struct address *target,
                        const struct network_list *allow);

#endif
