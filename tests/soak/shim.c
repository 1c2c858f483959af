/* Calls that fail at random: memory, descriptors, threads, interrupted and short reads and writes.
 *
 * For LD_PRELOAD. PYBENCH_SHIM="WORD RATE SEED": in a process whose command line holds WORD one
 * call in RATE fails, from the moment that it first listens or connects; the choice follows from
 * SEED and the number of the call. A process's start is left alone: a program that does not come up
 * is not what is to be seen. Threads: any; the count is shared. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static uint64_t rate, seed;
static atomic_uint_fast64_t calls;
static atomic_bool active;

/* The system's own function of that name. */
#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    int saved = errno;
    void *found = dlsym(RTLD_NEXT, name);

    errno = saved;
    return found;
}

static uint64_t mixed(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static bool fails(int error)
{
    if (!atomic_load_explicit(&active, memory_order_relaxed) ||
        mixed(seed ^ atomic_fetch_add(&calls, 1)) % rate)
        return false;
    errno = error;
    return true;
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("PYBENCH_SHIM");
    char word[64], line[65536];
    unsigned long long a = 0, b = 0;
    FILE *file;
    size_t length;

    if (!text || sscanf(text, "%63s %llu %llu", word, &a, &b) != 3 || a == 0)
        return;
    file = fopen("/proc/self/cmdline", "r");
    if (!file)
        return;
    length = fread(line, 1, sizeof line, file);
    fclose(file);
    if (memmem(line, length, word, strlen(word))) {
        rate = a;
        seed = b;
    }
}

static void activate(void)
{
    if (rate)
        atomic_store(&active, true);
}

void *malloc(size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(ENOMEM) ? NULL : __libc_realloc(old, size);
}

int listen(int fd, int backlog)
{
    int result = REAL(listen)(fd, backlog);

    activate();
    return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    activate();
    return fails(ENOBUFS) ? -1 : REAL(connect)(fd, address, length);
}

int socket(int domain, int type, int protocol)
{
    return fails(EMFILE) ? -1 : REAL(socket)(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return fails(EMFILE) ? -1 : REAL(accept4)(fd, address, length, flags);
}

int epoll_create1(int flags)
{
    return fails(EMFILE) ? -1 : REAL(epoll_create1)(flags);
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    return fails(ENOMEM) ? -1 : REAL(epoll_ctl)(epoll_fd, operation, fd, event);
}

int epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
    return fails(EINTR) ? -1 : REAL(epoll_wait)(fd, events, count, timeout);
}

int eventfd(unsigned value, int flags)
{
    return fails(EMFILE) ? -1 : REAL(eventfd)(value, flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    return fails(EINTR) ? -1 : REAL(poll)(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    return fails(EINTR) ? -1 : REAL(ppoll)(fds, count, timeout, mask);
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *), void *argument)
{
    return fails(EAGAIN) ? EAGAIN : REAL(pthread_create)(id, attr, run, argument);
}

/* Only a call that waits is interrupted. */
static bool waits(int fd, int flags)
{
    return !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* Half of it, or the end of the connection, or only later. */
ssize_t send(int fd, const void *data, size_t length, int flags)
{
    if (length > 1 && fails(0))
        length /= 2;
    if (fails(ECONNRESET) || (fails(EINTR) && waits(fd, flags)))
        return -1;
    return REAL(send)(fd, data, length, flags);
}

ssize_t recv(int fd, void *data, size_t length, int flags)
{
    if (length > 1 && fails(0))
        length /= 2;
    if (fails(ECONNRESET) || (fails(EINTR) && waits(fd, flags)))
        return -1;
    return REAL(recv)(fd, data, length, flags);
}
