/* sources.h - which local address and port the next connection starts from.
 *
 * Left alone, Linux looks through every second local port first. When these are used up towards a
 * target each further connect walks all of them before it tries the others: milliseconds instead
 * of microseconds. So no more than that half of an address's ports are left to the kernel's choice.
 * After it the next address is used, where there is one: others of --source in turns from the
 * start, on IPv4 loopback 127.0.0.2 and on. Where there is none the port is chosen here.
 *
 * Used by connect.c alone, in the session's thread.
 */
#ifndef PYBENCH_SOURCES_H
#define PYBENCH_SOURCES_H

#include "address.h"

#include <stdbool.h>
#include <stdint.h>

struct source {
    struct address address; /* len 0: the kernel's choice */
    uint32_t used;          /* sockets that were given it and not given back */
    uint32_t tried;         /* ports tried by number so far */
    bool spent;             /* it has no ports left */
};

/* What a socket was bound to. */
enum source_binding { BOUND_ADDRESS, BOUND_PORT };

struct sources {
    struct source *items; /* owned */
    unsigned count;
    unsigned next;    /* where to look first */
    bool in_turns;    /* one each; else one address after the other */
    int family;       /* of the target */
    uint32_t low;     /* first local port */
    uint32_t ports;   /* how many from there on */
    uint32_t half;    /* sockets of an address whose port the kernel may choose */
    uint8_t *skipped; /* owned; a bit for each port that this machine reserves */
};

/* List the addresses to connect to target from: the ones of its family in listed, or, when that is
 * empty, the default. Returns 0, -EAFNOSUPPORT when none of those listed is of the target's family,
 * or -ENOMEM; sources_free is right after either. */
int sources_init(struct sources *sources, const struct address *target,
                 const struct address_list *listed);
void sources_free(struct sources *sources);

/* The index of the address to use next, or -EADDRNOTAVAIL when all are spent. */
int sources_pick(struct sources *sources);

/* Bind a fresh socket to the address of that index. Returns an enum source_binding, or a negative
 * errno. After BOUND_PORT a connect that finds its address in use says nothing of the others. */
int sources_bind(struct sources *sources, unsigned index, int fd);

/* A socket with the address of that index was closed again. */
void sources_return(struct sources *sources, unsigned index);

/* The kernel found no free port of that address. */
void sources_spend(struct sources *sources, unsigned index);

#endif
