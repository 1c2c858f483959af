/* files.h - tables of descriptors, which are what the limit of open files bounds.
 *
 * The threads of a process share one table unless a thread asks for its own: a copy, in which the
 * numbers mean the same until either side opens or closes something. A socket ends when no table
 * has it any more. So each ping thread has its connections in a table of its own, and there may be
 * as many of these as there are threads for.
 */
#ifndef PYBENCH_FILES_H
#define PYBENCH_FILES_H

#include <stdbool.h>
#include <stdint.h>

/* Connections that one table has room for, besides what else this program has open; >= 1. */
uint32_t files_room(void);

/* Tables that it takes for conns (>= 1) connections. */
uint32_t files_tables(uint32_t conns);

/* Give the calling thread a table of its own that has the standard streams and the count
 * descriptors in kept (which are sorted on return) and nothing else: a copy would keep open what
 * its owner closes. Returns whether it has one; when not, as where a container's rules forbid it,
 * the thread shares the table of the process as before. */
bool files_own(int *kept, uint32_t count);

#endif
