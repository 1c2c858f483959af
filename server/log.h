/* log.h - lines for whoever reads the load server's stderr. Threads: the main one. */
#ifndef PYBENCH_LOG_H
#define PYBENCH_LOG_H

/* Write one line. Nobody may be reading it: a full pipe must not hold up the server, so a line that
 * stderr does not take at once is dropped, and the next one that it takes says how many were. What
 * is not printable ASCII is '?'; a line is cut at about 1000 bytes. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
