/* pipeline.c - see pipeline.h. */
#include "pipeline.h"

#include <string.h>

static uint64_t *begun_at(const struct pinger *pinger, const struct conn *conn, uint32_t index)
{
    return pipelines_begun_ns(pinger->pipelines, (size_t)(conn - pinger->conns), index);
}

void pipeline_fill(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    struct pipeline *pipeline = conn_pipeline(pinger, conn);

    for (; pipeline->out < pinger->pipelines->depth; pipeline->out++) {
        *begun_at(pinger, conn, pipeline->out) = now_ns;
        pipeline->unsent++;
        conn->seq++;
        pinger->counters.sent++;
    }
    conn->state = CONN_PIPELINED;
}

/* The oldest ping has its echo. */
static void take_echo(struct pinger *pinger, struct conn *conn, uint64_t now_ns)
{
    struct pipeline *pipeline = conn_pipeline(pinger, conn);

    conn->echoed = 0;
    conn->sent_at_ns = *begun_at(pinger, conn, 0);
    pipeline->out--;
    if (++pipeline->oldest == pinger->pipelines->depth)
        pipeline->oldest = 0;
    conn_record(pinger, conn, now_ns);
    if (pipeline->out > 0)
        conn->state = CONN_PIPELINED;
    if (!pinger_sending(pinger, now_ns))
        conn_finish(pinger, conn);
}

/* Bytes that may come back: what was sent of the pings in flight, less what has come. */
static uint64_t bytes_out(const struct pinger *pinger, const struct conn *conn)
{
    const struct pipeline *pipeline = conn_pipeline(pinger, conn);

    return (uint64_t)(pipeline->out - pipeline->unsent) * pinger->message.size + conn->sent -
           conn->echoed;
}

int pipeline_received(struct pinger *pinger, struct conn *conn, const unsigned char *data,
                      uint32_t length, uint64_t now_ns)
{
    uint32_t size = pinger->message.size;
    int whole = 0;

    if (conn->state != CONN_PIPELINED || length > bytes_out(pinger, conn))
        return -1;
    while (length > 0) {
        uint32_t left = size - conn->echoed;
        uint32_t part = length < left ? length : left;

        message_stamp(&pinger->message, conn->seq - conn_pipeline(pinger, conn)->out + 1, conn->id);
        if (!message_matches(&pinger->message, data, conn->echoed, part))
            return -1;
        data += part;
        length -= part;
        conn->echoed += part;
        if (conn->echoed == size) {
            take_echo(pinger, conn, now_ns);
            whole++;
        }
    }
    return whole;
}

void pipeline_stamp(struct pinger *pinger, const struct conn *conn)
{
    message_stamp(&pinger->message, conn->seq - conn_pipeline(pinger, conn)->unsent + 1, conn->id);
}

uint32_t pipeline_compose(struct pinger *pinger, const struct conn *conn, unsigned char *buffer,
                          uint32_t room)
{
    uint32_t unsent = conn_pipeline(pinger, conn)->unsent;
    uint32_t size = pinger->message.size, from = conn->sent, length = 0;

    for (; unsent > 0 && size - from <= room - length; unsent--) {
        message_stamp(&pinger->message, conn->seq - unsent + 1, conn->id);
        memcpy(buffer + length, pinger->message.bytes + from, size - from);
        length += size - from;
        from = 0;
    }
    return length;
}

void pipeline_sent(struct pinger *pinger, struct conn *conn, uint32_t bytes)
{
    uint64_t sent = (uint64_t)conn->sent + bytes;

    conn_pipeline(pinger, conn)->unsent -= (uint32_t)(sent / pinger->message.size);
    conn->sent = (uint32_t)(sent % pinger->message.size);
}
