/* options.h - the command line of pybench-server. */
#ifndef PYBENCH_OPTIONS_H
#define PYBENCH_OPTIONS_H

#include "session.h"

#include <sched.h>
#include <stdbool.h>

struct options {
    char host[256]; /* to listen on; a name or an address, without brackets */
    char port[8];
    bool once;
    bool quiet;
    bool die_with_parent;
    bool has_cpus;
    cpu_set_t cpus;                /* when has_cpus */
    struct session_config session; /* session.threads 0: not given */
};

/* Fill options from the command line. On --help and --version prints and exits 0; on bad input
 * prints one line to stderr and exits 2. */
void options_parse(struct options *options, int argc, char **argv);

#endif
