/* words.h - a line of the control protocol as words: key=value, by a table of the keys there are.
 *
 * Used by request.c and command.c, whose tables say what each line may have. What a peer sent is
 * quoted in messages only in print. Threads: any; no state.
 */
#ifndef PYBENCH_WORDS_H
#define PYBENCH_WORDS_H

#include "failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WORDS_MAX = 32,    /* of a line, with the verb */
    QUOTED_BYTES = 48, /* that hold a quoted word */
};

/* A word that may be there, and where its value goes. */
struct key {
    const char *name;
    size_t offset;    /* in the struct that the table is of */
    size_t text_size; /* 0: a number, a uint64_t */
    uint64_t low, high;
    bool needed;
};

#define NUMBER_OF(type, name, field, low, high, needed)   \
    {                                                     \
        name, offsetof(type, field), 0, low, high, needed \
    }

/* A line's keys, one table of them. */
struct keys {
    const struct key *items;
    unsigned count;
};

/* Whether text is what a line may have for a text: 1 to longest characters of printable ASCII, none
 * of them a blank. */
bool word_is_text(const char *text, size_t longest);

/* The peer's own words for a message: unprintable bytes become '?', long ones are cut. */
const char *word_quote(const char *word, char buf[QUOTED_BYTES]);

/* A whole decimal number in [low, high], digits only. Returns 0, or -EINVAL with fail filled. */
int word_number(uint64_t *out, const char *name, const char *text, uint64_t low, uint64_t high,
                struct failure *fail);

/* Cut text into words at blanks, in place. Returns their number, at most WORDS_MAX + 1. */
unsigned words_split(char *text, char *words[WORDS_MAX]);

/* Put a value where its key says. draft: the struct that the key's table is of. Returns 0, or
 * -EINVAL with fail filled. */
int word_store(void *draft, const struct key *key, const char *value, struct failure *fail);

/* Put words[1..count) into draft, and whether each key was there into seen. Returns 0, or -EINVAL
 * with fail filled: a key that is not known, or comes twice, or is needed and does not come. */
int words_store(void *draft, const struct keys *keys, bool *seen, char *words[], unsigned count,
                struct failure *fail);

#endif
