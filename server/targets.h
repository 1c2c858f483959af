/* targets.h - the listeners that a request names: its words addr and port to a list of addresses.
 *
 * Used by request.c. Threads: any; no state.
 */
#ifndef PYBENCH_TARGETS_H
#define PYBENCH_TARGETS_H

#include "address.h"
#include "failure.h"

#include <stdint.h>

enum {
    TARGETS_PORT_MAX = 65535,
    TARGETS_PORTS_TEXT = 6 * ADDRESS_LIST_MAX, /* bytes that hold the numbers of as many ports */
};

/* Version 1: one, of a numeric IP address; port is one. Fills a list that is empty. Returns 0, or a
 * negative errno with fail filled, as does the other. */
int targets_one(struct address_list *targets, const char *addr, uint64_t port,
                struct failure *fail);

/* Version 2: one for each of the ports, with commas between, of a numeric IP address; or for each
 * of the Unix sockets that addr has, with commas between, and ports is not looked at. addr: shorter
 * than CONTROL_LINE_MAX. */
int targets_parse(struct address_list *targets, const char *addr, const char *ports,
                  struct failure *fail);

#endif
