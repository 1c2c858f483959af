/* engine.c - the list of engines; see engine.h. */
#include "engine.h"

#include <string.h>

static const struct engine *const ENGINES[] = {&engine_epoll, &engine_uring, &engine_null};

const struct engine *engine_find(const char *name)
{
    for (size_t i = 0; i < sizeof ENGINES / sizeof *ENGINES; i++)
        if (strcmp(ENGINES[i]->name, name) == 0)
            return ENGINES[i];
    return NULL;
}
