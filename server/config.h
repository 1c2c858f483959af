/* config.h - how the load server was started, as far as tests are concerned.
 *
 * options.c fills it in; permission.c and session.c keep to it.
 */
#ifndef PYBENCH_CONFIG_H
#define PYBENCH_CONFIG_H

#include "address.h"

/* What the server was told at its start; the same for every session, read-only. */
struct session_config {
    unsigned threads; /* ping threads unless a request says otherwise, >= 1 */
    struct address_list sources;
    struct network_list allow;
    const char *token;  /* a request must carry it; NULL: none is asked for */
    const char *engine; /* name of the engine of a request that names none */
};

#endif
