/* message.c - see message.h. */
#include "message.h"

#include <errno.h>
#include <stdlib.h>

int message_init(struct message *message, uint32_t size, bool plain)
{
    size_t room = size > MESSAGE_HEADER ? size : MESSAGE_HEADER;
    uint32_t state = 2463534242u;

    message->bytes = malloc(room + MESSAGE_HEADER);
    if (!message->bytes)
        return -ENOMEM;
    message->size = size;
    message->header = plain ? message->bytes + room : message->bytes;
    if (plain) {
        memset(message->bytes, 'X', room);
        return 0;
    }
    /* A body without period (xorshift32), so that an echo shifted by any distance is found out. */
    for (size_t i = 0; i < room; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        message->bytes[i] = (unsigned char)state;
    }
    return 0;
}

void message_free(struct message *message)
{
    free(message->bytes);
    *message = (struct message){0};
}
