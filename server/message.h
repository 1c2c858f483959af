/* message.h - what a ping looks like, and whether an echo is the one that was sent.
 *
 * A message is msize bytes: a header of up to 8 bytes (sequence number and connection, so that an
 * old, foreign or shifted echo is told from the right one), then a fixed body. Nothing is kept per
 * connection: what an echo must be follows from its connection and sequence number.
 *
 * A plain message is `X`s and nothing else, as the 2016 experiment's server sent: some of its
 * clients answer with as many `X`s of their own instead of an echo. An old one is not told apart.
 */
#ifndef PYBENCH_MESSAGE_H
#define PYBENCH_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MESSAGE_HEADER = 8 };

/* One thread's sending buffer: the body is written once, the header before each send. */
struct message {
    unsigned char *bytes;  /* owned; room for two headers and not less than size */
    unsigned char *header; /* where the stamp goes: to bytes, or behind a plain message */
    uint32_t size;         /* bytes of a message, >= 1 */
};

/* Returns 0 or -ENOMEM. */
int message_init(struct message *message, uint32_t size, bool plain);
void message_free(struct message *message);

/* Make bytes the message `seq` of connection `conn`; a plain one stays as it is. */
static inline void message_stamp(struct message *message, uint32_t seq, uint32_t conn)
{
    /* there is room for the whole header even when size has it not, and for one that is not sent:
     * no branch, neither on the size nor on the kind */
    memcpy(message->header, &seq, sizeof seq);
    memcpy(message->header + sizeof seq, &conn, sizeof conn);
}

/* Whether data[0..length) is what stands in the stamped message from offset on.
 * The caller has made sure that offset + length <= size. */
static inline bool message_matches(const struct message *message, const unsigned char *data,
                                   uint32_t offset, uint32_t length)
{
    return memcmp(message->bytes + offset, data, length) == 0;
}

#endif
