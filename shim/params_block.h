/* What a pool's configuration and a tenant's file add to the parameters of every request, encoded
 * once: the inside of struct params_rules and struct params_block, for params.c only. */
#ifndef FPMUX_SHIM_PARAMS_BLOCK_H
#define FPMUX_SHIM_PARAMS_BLOCK_H

#include "shim/param_name.h"
#include "shim/params.h"

/* One or more encoded pairs. */
struct pairs {
    uint8_t *data; /* owned */
    size_t length;
};

/* A name that `pass` lets through, with the two names that PHP may make of it. */
struct pass_name {
    const char *name; /* borrowed from the pool */
    size_t length;
    uint8_t *cut; /* owned; as name_mangle() writes them */
    size_t cut_length;
    uint8_t *underscored; /* owned */
    size_t underscored_length;
};

struct params_rules {
    const struct pool_config *pool; /* borrowed */
    struct pairs document_root;
    struct pass_name *pass;
    size_t pass_count;
};

/* A name that the tenant sets, in an open-addressing table. */
struct block_name {
    const uint8_t *name; /* NULL: free; points into the block's pairs */
    size_t length;
    uint32_t hash;
};

struct params_block {
    struct pairs params;
    struct pairs php; /* the pair PHP_ADMIN_VALUE, empty when the pool has no settings */
    char *php_text;   /* owned; or NULL */
    struct block_name *names;
    uint32_t names_mask;
    bool sets_class[NAME_CLASS_COUNT]; /* whether it sets a well-known name */
};

/* The entry of `pass` with exactly this name, or NULL. */
const struct pass_name *rules_find_pass(const struct params_rules *rules,
                                        const struct fcgi_pair *pair);

/* Where the name stands in the table, or would stand. */
static inline struct block_name *block_slot(const struct params_block *block, const uint8_t *name,
                                            size_t length, uint32_t hash) {
    struct block_name *slot = &block->names[hash & block->names_mask];

    while (slot->name != NULL &&
           (slot->hash != hash || !is_same_name(slot->name, slot->length, name, length)))
        slot = &block->names[(slot - block->names + 1) & block->names_mask];
    return slot;
}

/* Whether the tenant sets this name. */
static inline bool block_sets(const struct params_block *block, const uint8_t *name, size_t length,
                              uint32_t hash) {
    return block_slot(block, name, length, hash)->name != NULL;
}

#endif
