/* The walk over packed nodes. trimtab.compact.kernel.plain does the same in NumPy and says what
 * each part of a node means; results are equal to the last bit.
 *
 * LANES walks run in turns, so that the cache misses of one overlap the others' work: with one row
 * they are trees, with many rows they are rows in the same tree, which then stays in the cache. A step
 * asks for the next node's cache line and turns to the next walk.
 *
 * Everything a walk relies on is checked once, in check(): every reference leads backwards and to
 * something that is there. After that the walk itself needs no bounds.
 *
 * Ensembles of small trees are not walked, but marked: see _marks.h and _bytes.h.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FLOAT32_INPUT = 1, FLOAT32_SUMS = 2, DIRECT = 4, TINY_IS_ZERO = 8 };
enum { MISSING_KIND = 3, NEVER = 1, ZERO = 2, MISSING_RIGHT = 4, CATEGORICAL = 8, STRICT = 16 };
enum { READING_SHIFT = 5, READINGS = 3, TRUNCATE = 1, FLOOR = 2 };
enum { NODES, ROOTS, TREE_COLUMNS, SLOTS, THRESHOLDS, LEAVES, PAIRS, SETS, BASE,
       MARKS, LIST_STARTS, LIST_CODES, LIST_TREES, LIST_MARKS, TREE_STARTS, TREE_LEAVES,
       BYTE_SLOTS, BYTE_CODES, BYTE_STARTS, BYTE_TABLE, HEAP_LEAVES, SECTIONS };
enum { INTERFACE = 5 }; /* one more whenever what Python passes changes */
enum { LANES = 48, BLOCK = 1024, SMALL = 4096, FEW = 12 };

/* Compiled more than once, and the widest that the processor can do is taken when the module is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#endif
#endif
#ifndef CLONES
#define CLONES
#endif

#define PATH_FACTOR 0x9E3779B97F4A7C15ull
#define NEAR_ZERO ((double)1e-35f)
#define NO_NODE UINT64_MAX

typedef struct {
    uint32_t feature, how, start, count, words;
} Slot;

typedef struct {
    PyObject_HEAD
    Py_buffer view[SECTIONS];
    int views;
    const uint64_t *nodes;
    const int64_t *roots;
    const uint32_t *tree_columns, *pairs, *sets;
    const Slot *slots;
    const double *thresholds, *leaves, *base;
    const void *marks, *list_marks;
    const uint32_t *list_starts, *list_codes, *tree_starts, *tree_leaves;
    const uint16_t *list_trees;
    const uint8_t *byte_slots, *byte_codes; /* NULL where there are none, or the processor cannot */
    const uint32_t *byte_starts, *byte_table, *heap_leaves;
    int floats; /* sums are rounded to float32, as all that is added is: then floats add up to the same */
    unsigned mark_bits; /* of a mark; 0 where there are none, and trees are walked */
    size_t node_count, trees, slot_count, threshold_count, leaf_count, pair_count, set_words, columns;
    unsigned features, width, flags, slot_bits, code_bits, leaf_bits, first_categorical, divisor;
    uint64_t slot_mask, code_mask, leaf_mask;
    unsigned flag_shift, reference_shift;
} Forest;

/* ---- codes of a row ---------------------------------------------------------------------- */

static inline uint32_t ordered(float value)
{
    uint32_t bits;
    value += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* How many of the sorted numbers are below the value, or with `strict` at or below it. */
static inline uint32_t rank(const double *table, uint32_t count, double value, int strict)
{
    const double *at = table;
    if (!count)
        return 0;
    while (count > 1) {
        uint32_t half = count / 2;
        at += (strict ? at[half - 1] <= value : at[half - 1] < value) ? half : 0;
        count -= half;
    }
    return (uint32_t)(at - table) + (strict ? *at <= value : *at < value);
}

static uint32_t category(const Forest *forest, const Slot *slot, double value)
{
    const double *table = forest->thresholds + slot->start;
    uint32_t reading = slot->how >> READING_SHIFT, place;
    if (isnan(value))
        return slot->count + 1;
    if (reading == TRUNCATE)
        value = trunc(value);
    else if (reading == FLOOR)
        value = floor(value);
    place = rank(table, slot->count, value, 0);
    return place < slot->count && table[place] == value ? place : slot->count;
}

static inline uint32_t code_of(const Forest *forest, const Slot *slot, double value)
{
    uint32_t how = slot->how;
    int absent;
    if (forest->flags & FLOAT32_INPUT)
        value = (double)(float)value;
    if (forest->flags & TINY_IS_ZERO && fabs(value) <= NEAR_ZERO)
        value = 0.0;
    if (how & CATEGORICAL)
        return category(forest, slot, value);
    absent = isnan(value);
    if ((how & MISSING_KIND) == NEVER) {
        value = absent ? 0.0 : value;
        absent = 0;
    } else if ((how & MISSING_KIND) == ZERO)
        absent |= fabs(value) <= NEAR_ZERO;
    if (absent)
        return how & MISSING_RIGHT ? UINT32_MAX : 0;
    if (forest->flags & DIRECT)
        return ordered((float)value);
    return rank(forest->thresholds + slot->start, slot->count, value, how & STRICT);
}

static void code_row(const Forest *forest, const double *row, uint32_t *codes)
{
    for (size_t place = 0; place < forest->slot_count; place++)
        codes[place] = code_of(forest, &forest->slots[place], row[forest->slots[place].feature]);
}

/* ---- one step ------------------------------------------------------------------------------ */

static inline unsigned in_set(const Forest *forest, uint32_t set, uint32_t category)
{
    return forest->sets[set + (category >> 5)] >> (category & 31) & 1;
}

static inline unsigned goes_right(const Forest *forest, uint64_t node, const uint32_t *codes)
{
    uint64_t slot = node & forest->slot_mask;
    uint32_t code = (uint32_t)(node >> forest->slot_bits & forest->code_mask);
    uint32_t mine = codes[slot];
    if (__builtin_expect(slot >= forest->first_categorical, 0))
        return !in_set(forest, code, mine);
    return mine > code;
}

static inline uint32_t leaf_of(const Forest *forest, uint64_t node, unsigned far)
{
    uint64_t reference = node >> forest->reference_shift;
    if (!(node >> forest->flag_shift & 2))
        return (uint32_t)reference;
    if (forest->leaf_bits)
        return (uint32_t)(far ? reference >> forest->leaf_bits : reference & forest->leaf_mask);
    return forest->pairs[2 * reference + far];
}

/* Moves `at` to the next node, or to NO_NODE with the leaf in `leaf`. */
static inline uint64_t step(const Forest *forest, uint64_t at, const uint32_t *codes, uint32_t *leaf)
{
    uint64_t node = forest->nodes[at];
    uint64_t flags = node >> forest->flag_shift;
    unsigned far = goes_right(forest, node, codes) ^ (flags & 1);
    if (__builtin_expect(flags >> (1 + far) & 1, 0)) {
        *leaf = leaf_of(forest, node, far);
        return NO_NODE;
    }
    /* Neither way is likelier, so no branch: 1, or what the node says. */
    at -= 1 + (((node >> forest->reference_shift) - 1) & (0 - (uint64_t)far));
    __builtin_prefetch(&forest->nodes[at]);
    return at;
}

/* ---- many walks at once -------------------------------------------------------------------- */

/* One row through all trees: the leaf of each. */
static void through_trees(const Forest *forest, const uint32_t *codes, uint32_t *leaves)
{
    uint64_t at[LANES];
    size_t tree[LANES], next = 0;
    unsigned lanes = 0;
    for (;;) {
        while (lanes < LANES && next < forest->trees) {
            int64_t root = forest->roots[next];
            if (root < 0)
                leaves[next] = (uint32_t)(-1 - root);
            else {
                at[lanes] = (uint64_t)root;
                tree[lanes++] = next;
            }
            next++;
        }
        if (!lanes)
            return;
        for (unsigned lane = 0; lane < lanes;) {
            uint64_t to = step(forest, at[lane], codes, &leaves[tree[lane]]);
            at[lane] = to;
            if (__builtin_expect(to != NO_NODE, 1)) {
                lane++;
                continue;
            }
            lanes--;
            at[lane] = at[lanes];
            tree[lane] = tree[lanes];
        }
    }
}

/* Many rows through one tree: the leaf of each. */
static void through_rows(const Forest *forest, int64_t root, const uint32_t *codes, size_t rows,
                         uint32_t *leaves)
{
    uint64_t at[LANES];
    const uint32_t *row[LANES];
    size_t place[LANES], next = 0;
    unsigned lanes = 0;
    if (root < 0) {
        for (next = 0; next < rows; next++)
            leaves[next] = (uint32_t)(-1 - root);
        return;
    }
    for (;;) {
        for (; lanes < LANES && next < rows; lanes++, next++) {
            at[lanes] = (uint64_t)root;
            place[lanes] = next;
            row[lanes] = codes + next * forest->slot_count;
        }
        if (!lanes)
            return;
        for (unsigned lane = 0; lane < lanes;) {
            uint64_t to = step(forest, at[lane], row[lane], &leaves[place[lane]]);
            at[lane] = to;
            if (__builtin_expect(to != NO_NODE, 1)) {
                lane++;
                continue;
            }
            lanes--;
            at[lane] = at[lanes];
            row[lane] = row[lanes];
            place[lane] = place[lanes];
        }
    }
}

static inline void add(const Forest *forest, size_t tree, uint32_t leaf, double *sums)
{
    const double *values = forest->leaves + (size_t)leaf * forest->width;
    sums += forest->tree_columns[tree];
    if (forest->flags & FLOAT32_SUMS)
        for (unsigned i = 0; i < forest->width; i++)
            sums[i] = (double)(float)(sums[i] + values[i]);
    else
        for (unsigned i = 0; i < forest->width; i++)
            sums[i] += values[i];
}

static void start(const Forest *forest, double *sums)
{
    memcpy(sums, forest->base, forest->columns * sizeof *sums);
}

static void finish(const Forest *forest, double *sums)
{
    if (forest->divisor != 1)
        for (size_t i = 0; i < forest->columns; i++)
            sums[i] /= (double)forest->divisor;
}

static void sum_leaves(const Forest *forest, const uint32_t *leaves, double *sums)
{
    start(forest, sums);
    if (forest->columns == 1 && (!(forest->flags & FLOAT32_SUMS) || forest->floats)) {
        const double *values = forest->leaves;
        if (forest->floats) {
            float sum = (float)*sums;
            for (size_t tree = 0; tree < forest->trees; tree++)
                sum += (float)values[leaves[tree]];
            *sums = sum;
        } else {
            double sum = *sums;
            for (size_t tree = 0; tree < forest->trees; tree++)
                sum += values[leaves[tree]];
            *sums = sum;
        }
    } else
        for (size_t tree = 0; tree < forest->trees; tree++)
            add(forest, tree, leaves[tree], sums);
    finish(forest, sums);
}

static void sum_row(const Forest *forest, const double *row, double *sums, uint32_t *scratch)
{
    uint32_t *leaves = scratch + forest->slot_count;
    code_row(forest, row, scratch);
    through_trees(forest, scratch, leaves);
    sum_leaves(forest, leaves, sums);
}

static void sum_block(const Forest *forest, const double *rows, size_t count, double *sums,
                      uint32_t *scratch)
{
    uint32_t *codes = scratch + BLOCK, *leaves = scratch;
    for (size_t row = 0; row < count; row++) {
        code_row(forest, rows + row * forest->features, codes + row * forest->slot_count);
        start(forest, sums + row * forest->columns);
    }
    for (size_t tree = 0; tree < forest->trees; tree++) {
        through_rows(forest, forest->roots[tree], codes, count, leaves);
        for (size_t row = 0; row < count; row++)
            add(forest, tree, leaves[row], sums + row * forest->columns);
    }
    for (size_t row = 0; row < count; row++)
        finish(forest, sums + row * forest->columns);
}

static void sum_rows(const Forest *forest, const double *rows, size_t count, double *sums,
                     uint32_t *scratch)
{
    while (count >= FEW) {
        size_t block = count < BLOCK ? count : BLOCK;
        sum_block(forest, rows, block, sums, scratch);
        rows += block * forest->features;
        sums += block * forest->columns;
        count -= block;
    }
    for (; count; count--, rows += forest->features, sums += forest->columns)
        sum_row(forest, rows, sums, scratch);
}

/* How many of the codes, which are in order, are below the row's. */
static inline uint32_t below(const uint32_t *codes, uint32_t count, uint32_t mine)
{
    const uint32_t *at = codes;
    if (!count)
        return 0;
    while (count > 1) {
        uint32_t half = count / 2;
        at += at[half - 1] < mine ? half : 0;
        count -= half;
    }
    return (uint32_t)(at - codes) + (*at < mine);
}

#define BITS 32
#include "_marks.h"
#define BITS 64
#include "_marks.h"
#include "_bytes.h"
#include "_row.h"

static void answer(const Forest *forest, const double *rows, size_t count, double *sums, void *scratch)
{
    if (forest->byte_slots && (count < FEW || forest->mark_bits == 64))
        byte_rows(forest, rows, count, sums, scratch);
    else if (forest->mark_bits == 32)
        mark_rows32(forest, rows, count, sums, scratch);
    else if (forest->mark_bits)
        mark_rows64(forest, rows, count, sums, scratch);
    else
        sum_rows(forest, rows, count, sums, scratch);
}

/* Words of scratch that so many rows need. */
static size_t scratch_words(const Forest *forest, size_t rows)
{
    size_t one = forest->slot_count + forest->trees, block = rows < BLOCK ? rows : BLOCK, many = 0;
    if (forest->mark_bits) {
        one += forest->trees * (forest->byte_slots ? TOGETHER : forest->mark_bits / 32) + 2;
        many = rows < FEW ? 0 : forest->slot_count * 64 + 16; /* four vectors of 64 bytes */
    } else if (rows >= FEW)
        many = BLOCK + block * forest->slot_count;
    return one > many ? one : many;
}

static uint64_t path_of(const Forest *forest, int64_t root, const uint32_t *codes)
{
    uint64_t path = 1, at = (uint64_t)root;
    uint32_t leaf;
    if (root < 0)
        return path;
    while (at != NO_NODE) {
        path = path * PATH_FACTOR + 1 + goes_right(forest, forest->nodes[at], codes);
        at = step(forest, at, codes, &leaf);
    }
    return path;
}

/* ---- what a walk relies on ----------------------------------------------------------------- */

static const char *check_slots(const Forest *forest)
{
    for (size_t place = 0; place < forest->slot_count; place++) {
        const Slot *slot = &forest->slots[place];
        const double *table = forest->thresholds + slot->start;
        int categorical = (slot->how & CATEGORICAL) != 0;
        if (slot->feature >= forest->features)
            return "a slot reads no feature";
        if ((uint64_t)slot->start + slot->count > forest->threshold_count)
            return "a slot's table lies outside the thresholds";
        if (categorical != (place >= forest->first_categorical))
            return "slots are out of order";
        if (slot->how >> READING_SHIFT >= READINGS)
            return "a slot is read in no way";
        if ((slot->how & MISSING_KIND) > ZERO)
            return "a slot's missing values are of no kind";
        if (categorical && slot->words < ((uint64_t)slot->count + 2 + 31) / 32)
            return "a category set is short";
        for (uint32_t i = 0; i < slot->count; i++)
            if (isnan(table[i]) || (i && !(table[i - 1] < table[i])))
                return "a table is not sorted";
    }
    return NULL;
}

static const char *check_node(const Forest *forest, size_t place)
{
    uint64_t node = forest->nodes[place], slot = node & forest->slot_mask;
    uint64_t code = node >> forest->slot_bits & forest->code_mask;
    uint64_t reference = node >> forest->reference_shift;
    int near_leaf = node >> forest->flag_shift >> 1 & 1, far_leaf = node >> forest->flag_shift >> 2 & 1;
    if (slot >= forest->slot_count)
        return "a node refers to no slot";
    if (slot >= forest->first_categorical && code + forest->slots[slot].words > forest->set_words)
        return "a node refers to no category set";
    if (near_leaf && !far_leaf)
        return "a node's near child is a leaf alone";
    if (!near_leaf && !place)
        return "a node refers outside the nodes";
    if (!far_leaf)
        return reference < 1 || reference > place ? "a node refers forwards or outside the nodes" : NULL;
    if (!near_leaf)
        return reference >= forest->leaf_count ? "a node refers to no leaf" : NULL;
    if (!forest->leaf_bits)
        return reference >= forest->pair_count ? "a node refers to no pair of leaves" : NULL;
    return (reference & forest->leaf_mask) >= forest->leaf_count ||
                   reference >> forest->leaf_bits >= forest->leaf_count
               ? "a node refers to no leaf"
               : NULL;
}

/* Whether check_node() would find all nodes sound, without a branch; categories are left to it. */
CLONES static int sound(const Forest *forest)
{
    const uint64_t *nodes = forest->nodes, slots = forest->slot_count, leaves = forest->leaf_count;
    const uint64_t slot_mask = forest->slot_mask, two_leaves = forest->leaf_bits ? leaves : forest->pair_count;
    const uint64_t near_mask = forest->leaf_bits ? forest->leaf_mask : UINT64_MAX;
    const unsigned flags_at = forest->flag_shift, at = forest->reference_shift, width = forest->leaf_bits;
    uint64_t wrong = 0;
    if (forest->first_categorical < slots || (forest->node_count && !(nodes[0] >> flags_at & 2)))
        return 0;
    for (uint64_t place = 0; place < forest->node_count; place++) {
        uint64_t node = nodes[place], reference = node >> at;
        uint64_t near = node >> flags_at >> 1 & 1, far = node >> flags_at >> 2 & 1;
        uint64_t of_leaf = near ? reference & near_mask : reference;
        uint64_t value = far ? of_leaf : reference - 1;
        uint64_t limit = far ? (near ? two_leaves : leaves) : place;
        uint64_t second = near ? reference >> width : 0;
        wrong |= (node & slot_mask) >= slots ? 1 : 0;
        wrong |= value >= limit ? 1 : 0;
        wrong |= width && second >= leaves ? 1 : 0;
        wrong |= near & ~far;
    }
    return !wrong;
}

static const char *check_lists(const Forest *forest)
{
    uint32_t last = 0;
    for (size_t slot = 0; slot <= forest->slot_count; slot++) {
        if (forest->list_starts[slot] < last || forest->list_starts[slot] > forest->node_count)
            return "the lists of nodes are out of order";
        last = forest->list_starts[slot];
    }
    for (size_t slot = forest->first_categorical; slot < forest->slot_count; slot++)
        for (uint32_t node = forest->list_starts[slot]; node < forest->list_starts[slot + 1]; node++)
            if ((uint64_t)forest->list_codes[node] + forest->slots[slot].words > forest->set_words)
                return "a list refers to no category set";
    for (size_t node = 0; node < forest->node_count; node++)
        if (forest->list_trees[node] >= forest->trees)
            return "a list refers to no tree";
    return NULL;
}

static const char *check_marks(const Forest *forest, size_t leaves)
{
    for (size_t tree = 0; tree < forest->trees; tree++) {
        uint32_t begin = forest->tree_starts[tree], end = forest->tree_starts[tree + 1];
        if (begin >= end || end > leaves)
            return "a tree's leaves are out of order";
        if (end - begin > 1 && forest->roots[tree] + 2 < (int64_t)(end - begin))
            return "a tree has more leaves than nodes";
    }
    for (size_t leaf = 0; leaf < leaves; leaf++)
        if (forest->tree_leaves[leaf] >= forest->leaf_count)
            return "a tree refers to no leaf";
    return check_lists(forest);
}

static const char *check_bytes(const Forest *forest, size_t table)
{
    uint32_t last = 0;
    size_t heaps = (size_t)forest->view[HEAP_LEAVES].len / 4;
    for (size_t tree = 0; tree < forest->trees; tree++)
        if (forest->tree_starts[tree + 1] - forest->tree_starts[tree] > forest->mark_bits)
            return "a tree has more nodes than bytes";
    for (size_t leaf = 0; leaf < heaps; leaf++)
        if (forest->heap_leaves[leaf] >= forest->leaf_count)
            return "a heap refers to no leaf";
    if (forest->flags & DIRECT)
        for (size_t slot = 0; slot <= forest->slot_count; slot++) {
            if (forest->byte_starts[slot] < last || forest->byte_starts[slot] > table)
                return "tables of bytes are out of order";
            last = forest->byte_starts[slot];
        }
    return NULL;
}

static int all_floats(const Forest *forest)
{
    int exact = forest->flags & FLOAT32_SUMS && forest->width == 1;
    for (size_t column = 0; exact && column < forest->columns; column++)
        exact = (double)(float)forest->base[column] == forest->base[column];
    for (size_t leaf = 0; exact && leaf < forest->leaf_count; leaf++)
        exact = (double)(float)forest->leaves[leaf] == forest->leaves[leaf];
    return exact;
}

static const char *check(const Forest *forest)
{
    const char *wrong = NULL;
    if (!forest->trees || !forest->leaf_count)
        return "it has no trees or no leaves";
    for (size_t tree = 0; tree < forest->trees; tree++) {
        int64_t root = forest->roots[tree];
        if (root < 0 ? -1 - root >= (int64_t)forest->leaf_count : root >= (int64_t)forest->node_count)
            return "a root is no node and no leaf";
        if ((uint64_t)forest->tree_columns[tree] + forest->width > forest->columns)
            return "a tree adds to no column";
    }
    for (size_t i = 0; i < 2 * forest->pair_count; i++)
        if (forest->pairs[i] >= forest->leaf_count)
            return "a node refers to no leaf";
    wrong = check_slots(forest);
    if (!wrong && !sound(forest))
        for (size_t place = 0; !wrong && place < forest->node_count; place++)
            wrong = check_node(forest, place);
    if (!wrong && forest->mark_bits)
        wrong = check_marks(forest, (size_t)forest->view[TREE_LEAVES].len / 4);
    if (!wrong && forest->byte_slots)
        wrong = check_bytes(forest, (size_t)forest->view[BYTE_TABLE].len / 4);
    return wrong;
}

/* ---- Python -------------------------------------------------------------------------------- */

static int take_marks(Forest *self, const size_t *counts)
{
    size_t nodes = counts[NODES], bytes = (size_t)self->view[MARKS].len;
    self->mark_bits = 0;
    if (!counts[TREE_STARTS])
        return 0;
    self->mark_bits = bytes > nodes * 4 ? 64 : 32;
    self->marks = self->view[MARKS].buf, self->list_marks = self->view[LIST_MARKS].buf;
    self->list_starts = self->view[LIST_STARTS].buf, self->list_codes = self->view[LIST_CODES].buf;
    self->list_trees = self->view[LIST_TREES].buf;
    self->tree_starts = self->view[TREE_STARTS].buf, self->tree_leaves = self->view[TREE_LEAVES].buf;
    if (bytes != nodes * (self->mark_bits / 8) || bytes != (size_t)self->view[LIST_MARKS].len ||
        counts[LIST_CODES] != nodes || counts[LIST_TREES] != nodes ||
        counts[LIST_STARTS] != self->slot_count + 1 || counts[TREE_STARTS] != self->trees + 1 ||
        (uintptr_t)self->marks % 8 || (uintptr_t)self->list_marks % 8) {
        PyErr_SetString(PyExc_ValueError, "marks and nodes differ in number");
        return -1;
    }
    return 0;
}

/* Bytes beside the marks, if they are there and the processor can. */
static int take_bytes(Forest *self, const size_t *counts)
{
    size_t bytes = self->trees * self->mark_bits, starts = self->flags & DIRECT ? self->slot_count + 1 : 0;
    size_t heaps = self->mark_bits == 64 ? bytes : 0;
    self->byte_slots = NULL;
    if (!self->mark_bits || !counts[BYTE_SLOTS] || !bytes_can())
        return 0;
    if (counts[BYTE_SLOTS] != bytes || counts[BYTE_CODES] != bytes || counts[BYTE_STARTS] != starts ||
        counts[HEAP_LEAVES] != heaps || self->slot_count > BYTE_SLOTS_MOST || self->first_categorical < self->slot_count) {
        PyErr_SetString(PyExc_ValueError, "bytes and trees differ in number");
        return -1;
    }
    self->byte_slots = self->view[BYTE_SLOTS].buf, self->byte_codes = self->view[BYTE_CODES].buf;
    self->byte_starts = self->view[BYTE_STARTS].buf, self->byte_table = self->view[BYTE_TABLE].buf;
    self->heap_leaves = self->view[HEAP_LEAVES].buf;
    return 0;
}

static int take_sections(Forest *self, PyObject *parts)
{
    static const size_t sizes[SECTIONS] = {8, 8, 4, sizeof(Slot), 8, 8, 8, 4, 8, 4, 4, 4, 2, 4,
                                            4, 4, 1, 1, 4, 4, 4};
    size_t counts[SECTIONS];
    if (!PyTuple_Check(parts) || PyTuple_Size(parts) != SECTIONS) {
        PyErr_SetString(PyExc_TypeError, "the sections of a forest are a tuple");
        return -1;
    }
    for (int i = 0; i < SECTIONS; i++) {
        if (PyObject_GetBuffer(PyTuple_GetItem(parts, i), &self->view[i], PyBUF_SIMPLE) < 0)
            return -1;
        self->views = i + 1;
        counts[i] = (size_t)self->view[i].len / sizes[i];
        if ((size_t)self->view[i].len % sizes[i] || (uintptr_t)self->view[i].buf % (sizes[i] == 8 ? 8 : 4)) {
            PyErr_SetString(PyExc_ValueError, "a section is cut short or lies askew");
            return -1;
        }
    }
    self->nodes = self->view[NODES].buf, self->node_count = counts[NODES];
    self->roots = self->view[ROOTS].buf, self->trees = counts[ROOTS];
    self->tree_columns = self->view[TREE_COLUMNS].buf;
    self->slots = self->view[SLOTS].buf, self->slot_count = counts[SLOTS];
    self->thresholds = self->view[THRESHOLDS].buf, self->threshold_count = counts[THRESHOLDS];
    self->leaves = self->view[LEAVES].buf, self->leaf_count = counts[LEAVES] / self->width;
    self->pairs = self->view[PAIRS].buf, self->pair_count = counts[PAIRS];
    self->sets = self->view[SETS].buf, self->set_words = counts[SETS];
    self->base = self->view[BASE].buf, self->columns = counts[BASE];
    if (counts[TREE_COLUMNS] != counts[ROOTS] || counts[LEAVES] % self->width ||
        counts[NODES] >= UINT32_MAX || counts[LEAVES] > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "trees and roots differ in number, or leaves are cut short");
        return -1;
    }
    return take_marks(self, counts) < 0 ? -1 : take_bytes(self, counts);
}

static int take_widths(Forest *self)
{
    unsigned known = self->slot_bits + self->code_bits;
    if (self->slot_bits > 32 || self->code_bits > 32 || self->leaf_bits > 32 || !self->width ||
        known + 3 >= 64 || 2 * self->leaf_bits > 64 - known - 3) {
        PyErr_SetString(PyExc_ValueError, "the widths of a node's parts exceed 64 bits");
        return -1;
    }
    self->slot_mask = (1ull << self->slot_bits) - 1;
    self->code_mask = (1ull << self->code_bits) - 1;
    self->leaf_mask = (1ull << self->leaf_bits) - 1;
    self->flag_shift = known;
    self->reference_shift = known + 3;
    return 0;
}

static PyObject *forest_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *parts;
    const char *wrong;
    Forest *self = (Forest *)allocate(type, 0);
    (void)keywords;
    if (!self)
        return NULL;
    self->views = 0;
    if (!PyArg_ParseTuple(arguments, "(IIIIIIII)O", &self->features, &self->width, &self->flags,
                          &self->slot_bits, &self->code_bits, &self->leaf_bits,
                          &self->first_categorical, &self->divisor, &parts) ||
        take_widths(self) < 0 || take_sections(self, parts) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    wrong = check(self);
    self->floats = !wrong && all_floats(self);
    Py_END_ALLOW_THREADS
    if (wrong) {
        PyErr_SetString(PyExc_ValueError, wrong);
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void forest_free(PyObject *object)
{
    Forest *self = (Forest *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    for (int i = 0; i < self->views; i++)
        PyBuffer_Release(&self->view[i]);
    release(object);
    Py_DECREF(type);
}

/* Opens both buffers of a call; the number of rows, or -1 with an error set. */
static Py_ssize_t open_call(const Forest *self, PyObject *const *given, Py_ssize_t count, Py_buffer *in,
                            Py_buffer *out, size_t out_columns)
{
    size_t row_bytes = (size_t)self->features * sizeof(double);
    Py_ssize_t rows;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "rows and a place for the answers are needed");
        return -1;
    }
    if (PyObject_GetBuffer(given[0], in, PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    if (PyObject_GetBuffer(given[1], out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(in);
        return -1;
    }
    rows = (Py_ssize_t)((size_t)in->len / row_bytes);
    if ((size_t)in->len % row_bytes || (size_t)out->len != (size_t)rows * out_columns * 8 ||
        in->itemsize != 8 || out->itemsize != 8 || (uintptr_t)in->buf % 8 || (uintptr_t)out->buf % 8) {
        PyErr_SetString(PyExc_ValueError, "rows or the place for the answers have the wrong size");
        PyBuffer_Release(in);
        PyBuffer_Release(out);
        return -1;
    }
    return rows;
}

static PyObject *forest_sums(PyObject *object, PyObject *const *given, Py_ssize_t count)
{
    Forest *self = (Forest *)object;
    Py_buffer in, out;
    Py_ssize_t rows = open_call(self, given, count, &in, &out, self->columns);
    uint32_t small[SMALL], *scratch = small;
    size_t needed;
    if (rows < 0)
        return NULL;
    needed = scratch_words(self, (size_t)rows);
    if (needed > SMALL && !(scratch = malloc(needed * sizeof *scratch))) {
        PyBuffer_Release(&in);
        PyBuffer_Release(&out);
        return PyErr_NoMemory();
    }
    if (rows == 1)
        answer(self, in.buf, 1, out.buf, scratch);
    else {
        Py_BEGIN_ALLOW_THREADS
        answer(self, in.buf, (size_t)rows, out.buf, scratch);
        Py_END_ALLOW_THREADS
    }
    if (scratch != small)
        free(scratch);
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    Py_RETURN_NONE;
}

static PyObject *forest_paths(PyObject *object, PyObject *const *given, Py_ssize_t count)
{
    Forest *self = (Forest *)object;
    Py_buffer in, out;
    Py_ssize_t rows = open_call(self, given, count, &in, &out, self->trees);
    uint32_t *codes;
    if (rows < 0)
        return NULL;
    if (!(codes = malloc((self->slot_count + 1) * sizeof *codes))) {
        PyBuffer_Release(&in);
        PyBuffer_Release(&out);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < rows; row++) {
        uint64_t *paths = (uint64_t *)out.buf + (size_t)row * self->trees;
        code_row(self, (const double *)in.buf + (size_t)row * self->features, codes);
        for (size_t tree = 0; tree < self->trees; tree++)
            paths[tree] = path_of(self, self->roots[tree], codes);
    }
    Py_END_ALLOW_THREADS
    free(codes);
    PyBuffer_Release(&in);
    PyBuffer_Release(&out);
    Py_RETURN_NONE;
}

static PyMethodDef forest_methods[] = {
    {"sums", (PyCFunction)(void (*)(void))forest_sums, METH_FASTCALL,
     "Write the sums of every row before the link."},
    {"paths", (PyCFunction)(void (*)(void))forest_paths, METH_FASTCALL,
     "Write the path of every row in every tree."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot forest_slots[] = {
    {Py_tp_new, forest_new},
    {Py_tp_dealloc, forest_free},
    {Py_tp_methods, forest_methods},
    {Py_tp_doc, "Sections of a compact forest, checked, and the walk over them."},
    {0, NULL},
};

static PyType_Spec forest_spec = {
    "trimtab.compact.kernel._walk.Forest", sizeof(Forest), 0, Py_TPFLAGS_DEFAULT, forest_slots,
};

static int add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int failed = !type || PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return failed;
}

static int fill(PyObject *module)
{
    return add_type(module, "Forest", &forest_spec) || add_type(module, "Row", &row_spec) ||
                   PyModule_AddIntConstant(module, "INTERFACE", INTERFACE)
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_walk", "The walk over packed nodes.", 0, NULL, module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__walk(void)
{
    return PyModuleDef_Init(&module);
}
