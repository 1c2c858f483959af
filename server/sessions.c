/* sessions.c - see sessions.h. */
#define _GNU_SOURCE
#include "sessions.h"

#include "clock.h"
#include "log.h"
#include "request.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A session and its thread. */
struct running {
    struct running *next; /* owned */
    pthread_t thread;
    struct session session;
};

int sessions_open(struct sessions *sessions, const struct session_config *config,
                  struct clients *clients, bool quiet)
{
    sessions->config = config;
    sessions->clients = clients;
    sessions->quiet = quiet;
    sessions->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sessions->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return sessions->changed_fd < 0 || sessions->stop_fd < 0 ? -errno : 0;
}

static void *session_main(void *argument)
{
    struct running *running = argument;

    session_run(&running->session);
    return NULL;
}

bool sessions_entering(const struct sessions *sessions)
{
    for (const struct running *one = sessions->first; one; one = one->next)
        if (atomic_load(&one->session.state) == SESSION_ENTERING)
            return true;
    return false;
}

/* Whether a session can start beside those that there are: a test is alone, takers of turns are
 * among themselves. */
static bool may_start(const struct sessions *sessions, bool turns)
{
    return !sessions->first ||
           (turns && sessions->first->session.turns && !sessions_entering(sessions));
}

static struct running *session_new(struct sessions *sessions, const struct client *client,
                                   bool turns)
{
    struct running *running = calloc(1, sizeof *running);
    struct session *session;

    if (!running)
        return NULL;
    session = &running->session;
    memcpy(session->talk.input, client->input, client->length);
    session->talk.length = client->length;
    session->turns = turns;
    session->config = sessions->config;
    session->pinging = &sessions->pinging;
    session->talk.fd = client->fd;
    session->talk.stop_fd = sessions->stop_fd;
    session->changed_fd = sessions->changed_fd;
    atomic_init(&session->state, SESSION_ENTERING);
    return running;
}

/* Serve a client whose request is whole. turns: it asks for them. */
static void start_session(struct sessions *sessions, unsigned index, bool turns)
{
    struct running *running = session_new(sessions, &sessions->clients->items[index], turns);
    struct failure fail;
    int err = running ? pthread_create(&running->thread, NULL, session_main, running) : ENOMEM;

    if (err) {
        free(running);
        failure_set(&fail, "internal", err, "pthread_create: %s", strerror(err));
        clients_refuse(sessions->clients, index, &fail);
        return;
    }
    clients_release(sessions->clients, index);
    clients_prolong(sessions->clients, clock_now_ns()); /* it may be over soon */
    running->next = sessions->first;
    sessions->first = running;
}

/* Take *link out of the list: its session is over. */
static void finish_session(struct sessions *sessions, struct running **link)
{
    struct running *running = *link;

    pthread_join(running->thread, NULL);
    if (!sessions->quiet)
        log_line("%s", running->session.summary);
    clients_dismiss(sessions->clients, running->session.talk.fd);
    *link = running->next;
    free(running);
}

void sessions_finish(struct sessions *sessions)
{
    struct running **link = &sessions->first;
    uint64_t count;

    (void)!read(sessions->changed_fd, &count, sizeof count);
    while (*link)
        if (atomic_load(&(*link)->session.state) == SESSION_OVER)
            finish_session(sessions, link);
        else
            link = &(*link)->next;
}

/* Who speaks version 1 cannot be told why: the log is. */
static void refuse_busy(struct sessions *sessions, unsigned index, const struct failure *busy)
{
    const struct client *client = &sessions->clients->items[index];

    if (!sessions->quiet && request_version(client->input, client->length) == 1)
        log_line("a client of version 1 was answered 0 messages: %s", busy->msg);
    clients_refuse(sessions->clients, index, busy);
}

/* Start who can be served. Which of them that is changes with each. */
static void start_waiting(struct sessions *sessions)
{
    for (unsigned i = 0; i < sessions->clients->count; i++) {
        int first = clients_waiting(sessions->clients);
        const struct client *client;
        bool turns;

        if (first < 0)
            return;
        client = &sessions->clients->items[first];
        turns = request_takes_turns(client->input, client->length);
        if (!may_start(sessions, turns))
            return;
        start_session(sessions, (unsigned)first, turns);
    }
}

void sessions_serve(struct sessions *sessions)
{
    uint64_t now = clock_now_ns();
    struct failure busy;

    start_waiting(sessions);
    if (sessions_entering(sessions))
        clients_prolong(sessions->clients, now); /* that is no test: nobody is refused for it */
    failure_set(&busy, "busy", 0, "another test is running; one at a time: try again later");
    for (unsigned i = 0; i < sessions->clients->count; i++) {
        const struct client *client = &sessions->clients->items[i];

        if (client->fd >= 0 && client->state == CLIENT_WAITING && now >= client->deadline_ns)
            refuse_busy(sessions, i, &busy);
    }
}

void sessions_close(struct sessions *sessions)
{
    uint64_t one = 1;
    struct pollfd changed = {.fd = sessions->changed_fd, .events = POLLIN};

    (void)!write(sessions->stop_fd, &one, sizeof one);
    while (sessions->first)
        if (poll(&changed, 1, -1) > 0)
            sessions_finish(sessions);
    close(sessions->changed_fd);
    close(sessions->stop_fd);
}
