/* words.c - see words.h. */
#define _GNU_SOURCE
#include "words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool word_is_text(const char *text, size_t longest)
{
    size_t length = 0;

    while (text[length] > ' ' && text[length] <= '~' && length <= longest)
        length++;
    return length >= 1 && length <= longest && !text[length];
}

const char *word_quote(const char *word, char buf[QUOTED_BYTES])
{
    size_t n = 0;

    for (; word[n] && n < 40; n++)
        buf[n] = isprint((unsigned char)word[n]) ? word[n] : '?';
    snprintf(buf + n, QUOTED_BYTES - n, "%s", word[n] ? "..." : "");
    return buf;
}

int word_number(uint64_t *out, const char *name, const char *text, uint64_t low, uint64_t high,
                struct failure *fail)
{
    char shown[QUOTED_BYTES];
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && value <= high; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    if (at == text || *at || value < low || value > high)
        return failure_set(
            fail, "bad_request", EINVAL, "%s=%s: expected a whole number from %llu to %llu", name,
            word_quote(text, shown), (unsigned long long)low, (unsigned long long)high);
    *out = value;
    return 0;
}

/* A text of printable ASCII: it may be quoted in a message, a log or a terminal. */
static int word_text(char *out, size_t size, const char *name, const char *text,
                     struct failure *fail)
{
    if (!*text)
        return failure_set(fail, "bad_request", EINVAL, "%s= has no value", name);
    if (!word_is_text(text, size - 1))
        return failure_set(fail, "bad_request", EINVAL,
                           "%s: expected 1 to %zu printable ASCII characters without a blank", name,
                           size - 1);
    snprintf(out, size, "%s", text);
    return 0;
}

int word_store(void *draft, const struct key *key, const char *value, struct failure *fail)
{
    char *field = (char *)draft + key->offset;

    if (key->text_size)
        return word_text(field, key->text_size, key->name, value, fail);
    return word_number((uint64_t *)(void *)field, key->name, value, key->low, key->high, fail);
}

static const struct key *find_key(const struct keys *keys, const char *name, size_t length)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (strlen(keys->items[i].name) == length && memcmp(keys->items[i].name, name, length) == 0)
            return &keys->items[i];
    return NULL;
}

int words_store(void *draft, const struct keys *keys, bool *seen, char *words[], unsigned count,
                struct failure *fail)
{
    char shown[QUOTED_BYTES];
    int err;

    for (unsigned i = 1; i < count; i++) {
        char *equals = strchr(words[i], '=');
        const struct key *key =
            equals ? find_key(keys, words[i], (size_t)(equals - words[i])) : NULL;

        if (!equals)
            return failure_set(fail, "bad_request", EINVAL, "'%s': expected key=value",
                               word_quote(words[i], shown));
        *equals = '\0';
        if (!key)
            return failure_set(fail, "bad_request", EINVAL, "unknown key '%s'",
                               word_quote(words[i], shown));
        if (seen[key - keys->items])
            return failure_set(fail, "bad_request", EINVAL, "%s is given twice", key->name);
        seen[key - keys->items] = true;
        if ((err = word_store(draft, key, equals + 1, fail)) < 0)
            return err;
    }
    for (unsigned i = 0; i < keys->count; i++)
        if (keys->items[i].needed && !seen[i])
            return failure_set(fail, "bad_request", EINVAL, "%s is missing", keys->items[i].name);
    return 0;
}

unsigned words_split(char *text, char *words[WORDS_MAX])
{
    unsigned count = 0;
    char *rest = text;
    char *word;

    while ((word = strsep(&rest, " \n")))
        if (*word && count++ < WORDS_MAX)
            words[count - 1] = word;
    return count;
}
