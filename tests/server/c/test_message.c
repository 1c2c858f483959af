/* Messages: every size, every fragment, and the echoes that must not pass. */
#include "check.h"
#include "message.h"

#include <stdlib.h>

static void check_size(uint32_t size)
{
    struct message message;
    unsigned char *sent = malloc(size);

    CHECK(message_init(&message, size, false) == 0);
    message_stamp(&message, 258, 3);
    memcpy(sent, message.bytes, size);
    message_stamp(&message, 259, 3); /* the buffer serves others in between */
    CHECK(!message_matches(&message, sent, 0, size));
    message_stamp(&message, 258, 3);
    CHECK(message_matches(&message, sent, 0, size));
    for (uint32_t cut = 0; cut <= size && cut < 100; cut++) {
        CHECK(message_matches(&message, sent, 0, cut));
        CHECK(message_matches(&message, sent + cut, cut, size - cut));
    }
    for (uint32_t i = 0; i < size && i < 100; i++) {
        sent[i] ^= 0x80;
        CHECK(!message_matches(&message, sent, 0, size));
        sent[i] ^= 0x80;
    }
    message_free(&message);
    free(sent);
}

static void check_shifts(void)
{
    enum { SIZE = 4096 };
    struct message message;

    CHECK(message_init(&message, SIZE, false) == 0);
    for (uint32_t shift = 1; shift < 1000; shift++)
        CHECK(!message_matches(&message, message.bytes + 16, 16 + shift, 64));
    message_free(&message);
}

/* Only X's, as the server of 2016 sent, whatever is stamped. */
static void check_plain(uint32_t size)
{
    struct message message;

    CHECK(message_init(&message, size, true) == 0);
    message_stamp(&message, 0x01020304, 0x05060708);
    for (uint32_t i = 0; i < size; i++)
        CHECK(message.bytes[i] == 'X');
    CHECK(message_matches(&message, (const unsigned char *)"X", size - 1, 1));
    CHECK(!message_matches(&message, (const unsigned char *)"Y", size - 1, 1));
    message_free(&message);
}

int main(void)
{
    static const uint32_t sizes[] = {1, 2, 7, 8, 9, 64, 65, 5000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_size(sizes[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_plain(sizes[i]);
    check_shifts();
    return checks_report();
}
