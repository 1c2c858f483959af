/* Requests as bytes: what is taken keeps its bounds, what is not leaves everything as it was and is
 * answered with one clean line. */
#include "must.h"
#include "reply.h"
#include "request.h"
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check_clean(const struct failure *fail, int version)
{
    struct reply line = reply_refusal(version, fail);

    MUST(line.text && line.length > 0 && line.length < CONTROL_LINE_MAX);
    for (size_t i = 0; i + 1 < line.length; i++)
        MUST(line.text[i] >= ' ' && line.text[i] <= '~');
    MUST(version == 1 || line.text[line.length - 1] == '\n');
    free(line.text);
}

static void check_request(const struct request *r)
{
    struct network_list nothing = {0};
    char text[ADDRESS_TEXT];

    MUST(r->version == 1 || r->version == 2);
    MUST(r->conns >= 1 && r->conns <= 1000000);
    MUST(r->msize >= 1 && r->msize <= CONTROL_MSIZE_MAX);
    MUST(r->inflight >= 1 && r->inflight <= CONTROL_INFLIGHT_MAX);
    MUST((uint64_t)r->inflight * r->conns <= CONTROL_PINGS_MAX);
    MUST(r->inflight == 1 || (!r->rate && !r->think_max_ns));
    MUST(r->idle <= 1000000 - r->conns);
    MUST(r->turns || (r->runtime_ns >= 1000000 && r->runtime_ns <= 86400000000000));
    MUST(!r->turns || (r->version == 2 && r->runtime_ns == 0 && r->warmup_ns == 0));
    MUST(r->warmup_ns <= 86400000000000);
    MUST(r->think_min_ns <= r->think_max_ns && r->think_max_ns <= 1000000000000);
    MUST(!r->rate || !r->think_max_ns);
    MUST(!r->poisson || r->rate);
    MUST(!r->seed || r->poisson);
    MUST(r->rate <= 1000000000 && r->busy_poll_ns <= 1000000000);
    MUST(r->threads <= CONTROL_THREADS_MAX);
    MUST(!*r->engine || word_is_text(r->engine, sizeof r->engine - 1));
    MUST(!*r->token || word_is_text(r->token, sizeof r->token - 1));
    MUST(!r->tls || (r->version == 2 && !r->kernel_times));
    MUST(r->targets.count >= 1 && r->targets.count <= ADDRESS_LIST_MAX);
    MUST(r->targets.count == 1 || r->targets.count <= r->conns);
    for (unsigned i = 0; i < r->targets.count; i++) {
        const struct address *target = &r->targets.items[i];

        MUST(strlen(address_print(target, true, text)) < sizeof text);
        if (address_is_unix(target)) {
            MUST(r->version == 2 && !r->kernel_times);
            continue;
        }
        MUST(address_port(target) >= 1);
        MUST(address_may_target(target, target, &nothing));
    }
}

static void check_parse(const char *bytes, size_t length)
{
    struct request request, before;
    struct failure fail;

    memset(&before, 0xa5, sizeof before);
    memcpy(&request, &before, sizeof request);
    if (request_parse(&request, bytes, length, &fail) == 0) {
        check_request(&request);
        MUST(request_version(bytes, length) == request.version);
        MUST(request_takes_turns(bytes, length) == request.turns);
        return;
    }
    MUST(memcmp(&request, &before, sizeof request) == 0);
    MUST(strcmp(fail.code, "bad_request") == 0 && fail.err == EINVAL);
    MUST(request_version(bytes, length) == 2);
    MUST(!request_takes_turns(bytes, length));
    check_clean(&fail, 2);
    check_clean(&fail, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = size < CONTROL_LINE_MAX ? size : CONTROL_LINE_MAX;
    size_t used = 0, ignored;
    char *bytes;

    if (length == 0)
        return 0;
    bytes = malloc(length); /* of this size and no more, so that ASan sees who reads on */
    memcpy(bytes, data, length);
    if (request_shape(bytes, length, &used) == REQUEST_WHOLE) {
        MUST(used >= 1 && used <= length);
        check_parse(bytes, used);
    } else {
        for (size_t part = 1; part < length; part += 1 + length / 16)
            MUST(request_shape(bytes, part, &ignored) == REQUEST_PARTIAL);
    }
    free(bytes);
    return 0;
}
