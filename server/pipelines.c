/* pipelines.c - see pipelines.h. */
#include "pipelines.h"

#include <errno.h>
#include <stdlib.h>

int pipelines_init(struct pipelines **out, uint32_t conns, uint32_t depth)
{
    struct pipelines *pipelines = calloc(1, sizeof *pipelines);

    if (!pipelines)
        return -ENOMEM;
    pipelines->depth = depth;
    pipelines->all = calloc(conns, sizeof *pipelines->all);
    pipelines->begun_ns = calloc((size_t)conns * depth, sizeof *pipelines->begun_ns);
    if (!pipelines->all || !pipelines->begun_ns) {
        pipelines_free(pipelines);
        return -ENOMEM;
    }
    *out = pipelines;
    return 0;
}

void pipelines_free(struct pipelines *pipelines)
{
    if (!pipelines)
        return;
    free(pipelines->all);
    free(pipelines->begun_ns);
    free(pipelines);
}
