/* See shares.h. */
#define _GNU_SOURCE
#include "shares.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SPARE_FILES = 64, /* of each table: what interpreter and row have open besides */
    FIRST_FILE = 3,   /* below are the standard streams, which every table keeps */
};

#ifndef CLOSE_RANGE_UNSHARE
enum { CLOSE_RANGE_UNSHARE = 1 << 1 };
#endif

struct shares;

/* One thread's part. Its thread's alone until that has ended. */
struct share {
    pthread_t thread;
    struct shares *shares;
    struct echo_set set;
    int conns;
    int64_t messages;
};

struct shares {
    struct shares_job job;
    struct echo_set *set; /* borrowed: the whole; the listener is its */
    struct share *items;  /* owned */
    int count, started;
    bool made;               /* the lock and what hangs on it */
    pthread_mutex_t accepts; /* held by the share that accepts: any may be the first */
    int opened;              /* connections of those that have been through; under that lock */
    pthread_mutex_t lock;    /* for the three below */
    pthread_cond_t news;
    int ready, ended;     /* shares that have accepted theirs; whose thread is at its end */
    struct share *failed; /* the first that did */
    int err;              /* why: a negative errno */
    atomic_bool stopping;
};

/* ---- how many ------------------------------------------------------------------------------- */

static int table_room(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= INT_MAX)
        return INT_MAX;
    int files = (int)limit.rlim_cur;
    int room = files > 2 * SPARE_FILES ? files - SPARE_FILES : files / 2;
    return room > 0 ? room : 1;
}

int shares_needed(int conns)
{
    int room = table_room();

    return conns / room + (conns % room != 0);
}

/* ---- one share, in its thread --------------------------------------------------------------- */

static int table_close(unsigned first, unsigned last, unsigned flags)
{
    return (int)syscall(SYS_close_range, first, last, flags);
}

/* A table of this thread's own, with the listener and the standard streams in it. A copy of
 * anything else would keep it open after its owner has closed it. */
static int table_own(int listener_fd)
{
    unsigned listener = (unsigned)listener_fd;

    /* Containers forbid unshare() more often than this, which does not copy what it closes. */
    if (table_close(listener + 1, UINT_MAX, CLOSE_RANGE_UNSHARE) < 0 && unshare(CLONE_FILES) < 0)
        return -errno;
    /* Before Linux 5.9 there is no such call: the copies stay, within SPARE_FILES. */
    if (listener > FIRST_FILE)
        table_close(FIRST_FILE, listener - 1, 0);
    return 0;
}

static int share_fail(struct share *share, const char *call, int err)
{
    share->set.call = call;
    return err;
}

static bool is_stopping(struct share *share)
{
    return atomic_load(&share->shares->stopping);
}

static int share_accept(struct share *share)
{
    const struct echo_set *whole = share->shares->set;
    int err = echo_set_open(&share->set, whole->listener_fd, share->conns, whole->msize);

    share->set.earlier = share->shares->opened;
    share->set.total = whole->wanted;
    while (err == 0 && !is_stopping(share)) {
        err = echo_accept(&share->set, share->shares->job.accept_flags);
        if (err != ECHO_AGAIN)
            return err;
        err = 0;
    }
    return err < 0 ? err : -ECANCELED;
}

static void share_ready(struct share *share)
{
    struct shares *shares = share->shares;

    pthread_mutex_lock(&shares->lock);
    shares->ready++;
    pthread_cond_signal(&shares->news);
    pthread_mutex_unlock(&shares->lock);
}

static void share_ended(struct share *share, int err)
{
    struct shares *shares = share->shares;

    pthread_mutex_lock(&shares->lock);
    shares->ended++;
    if (err < 0 && shares->failed == NULL && !is_stopping(share)) {
        shares->failed = share;
        shares->err = err;
    }
    pthread_cond_signal(&shares->news);
    pthread_mutex_unlock(&shares->lock);
}

/* Accept and open in turn, so that a row that meets a limit can say how far all have come. */
static int share_open(struct share *share, void *state)
{
    struct shares *shares = share->shares;

    pthread_mutex_lock(&shares->accepts);
    int err = is_stopping(share) ? -ECANCELED : share_accept(share);
    if (err == 0)
        err = shares->job.row->open(state, &share->set);
    if (err == 0)
        shares->opened += share->conns;
    pthread_mutex_unlock(&shares->accepts);
    return err;
}

static int share_serve(struct share *share)
{
    const struct echo_row *row = share->shares->job.row;
    void *state = calloc(1, row->state_bytes);

    if (state == NULL)
        return share_fail(share, "calloc", -ENOMEM);
    int err = share_open(share, state);
    if (err == 0) {
        share_ready(share);
        do
            err = row->run(state);
        while (err == ECHO_AGAIN && !is_stopping(share));
    }
    if (share->set.count == share->conns) /* else it was never opened */
        share->messages = row->close(state);
    echo_set_close(&share->set);
    free(state);
    return err < 0 ? err : 0;
}

static void *share_main(void *arg)
{
    struct share *share = arg;
    int err = table_own(share->shares->set->listener_fd);

    err = err < 0 ? share_fail(share, "unshare", err) : share_serve(share);
    share_ended(share, err);
    return NULL;
}

/* ---- all of them, in the calling thread ----------------------------------------------------- */

static int lock_make(struct shares *shares)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int err = pthread_cond_init(&shares->news, &attr);
    pthread_condattr_destroy(&attr);
    if (err != 0)
        return -err;
    pthread_mutex_init(&shares->lock, NULL);
    pthread_mutex_init(&shares->accepts, NULL);
    shares->made = true;
    return 0;
}

static int share_start(struct shares *shares, int i)
{
    struct share *share = &shares->items[i];
    int conns = shares->set->wanted, each = conns / shares->count, more = conns % shares->count;

    *share = (struct share){.shares = shares, .conns = each + (i < more)};
    return -pthread_create(&share->thread, NULL, share_main, share);
}

static int shares_start(struct shares *shares)
{
    sigset_t all, before;
    int err = lock_make(shares);

    shares->count = shares_needed(shares->set->wanted);
    shares->items = calloc((size_t)shares->count, sizeof *shares->items);
    shares->set->call = "calloc";
    if (err < 0 || shares->items == NULL)
        return err < 0 ? err : -ENOMEM;
    /* Threads inherit the mask: signals are the calling thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (err == 0 && shares->started < shares->count) {
        err = share_start(shares, shares->started);
        shares->started += err == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    shares->set->call = "pthread_create";
    return err;
}

/* Wait a tick for *count to become `wanted`, or a failure. */
static int shares_await(struct shares *shares, const int *count, int wanted)
{
    struct timespec until;
    int err = 0, result;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ECHO_TICK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&shares->lock);
    while (*count < wanted && shares->failed == NULL && err == 0)
        err = pthread_cond_timedwait(&shares->news, &shares->lock, &until);
    result = shares->failed != NULL ? shares->err : *count < wanted ? ECHO_AGAIN : 0;
    if (shares->failed != NULL) {
        shares->set->call = shares->failed->set.call;
        memcpy(shares->set->detail, shares->failed->set.detail, sizeof shares->set->detail);
    }
    pthread_mutex_unlock(&shares->lock);
    return result;
}

static int shares_open(void *state, struct echo_set *set)
{
    struct shares *shares = state;

    if (shares->set == NULL) {
        shares->set = set;
        int err = shares_start(shares);
        if (err < 0)
            return err;
    }
    return shares_await(shares, &shares->ready, shares->count);
}

static int shares_run(void *state)
{
    struct shares *shares = state;

    return shares_await(shares, &shares->ended, shares->count);
}

static int64_t shares_close(void *state)
{
    struct shares *shares = state;
    int64_t messages = 0;

    atomic_store(&shares->stopping, true);
    for (int i = 0; i < shares->started; i++) {
        pthread_join(shares->items[i].thread, NULL);
        messages += shares->items[i].messages;
    }
    if (shares->made) {
        pthread_cond_destroy(&shares->news);
        pthread_mutex_destroy(&shares->lock);
        pthread_mutex_destroy(&shares->accepts);
    }
    free(shares->items);
    return messages;
}

const struct echo_row shares_row = {sizeof(struct shares), shares_open, shares_run, shares_close};
