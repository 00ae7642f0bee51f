/* Ensembles of small trees without a walk; included by _walk.c once for each width of a WORD.
 *
 * A tree's leaves are numbered from left to right, and a node's mark has a 0 for each leaf left of
 * it. Where a row goes right, those leaves are out; after all nodes, in any order, the first that is
 * left is the row's. So one row takes, of the nodes of a slot in the order of their codes, as many as
 * lie below its own code, one after the other and without a branch for each; many rows take each
 * node at once, in as many lanes as the processor has.
 *
 * Source: Lucchese, Nardini, Orlando, Perego, Tonellotto, Venturini, "QuickScorer: a fast algorithm to
 * rank documents with additive ensembles of regression trees", SIGIR 2015, and its vectorised form.
 */

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(what) JOIN(what, BITS)
#define WORD JOIN(JOIN(uint, BITS), _t)
#define SIGNED JOIN(JOIN(int, BITS), _t)
#define TURN ((WORD)(BITS == 32) << 31) /* makes codes signed numbers of the same order */

enum { NAME(ROWS) = 4 * 512 / BITS, NAME(WIDE) = 512 / BITS };
typedef SIGNED NAME(Vector) __attribute__((vector_size(64), may_alias));

/* The leaf of a tree for the marks that are left; a forged file may have left none. */
static inline uint32_t NAME(first_leaf)(const Forest *forest, size_t tree, WORD left)
{
    uint32_t start = forest->tree_starts[tree], count = forest->tree_starts[tree + 1] - start;
    uint32_t place = (uint32_t)__builtin_ctzll((uint64_t)left | 1ull << (BITS - 1));
    return forest->tree_leaves[start + (place < count ? place : count - 1)];
}

/* One row: the leaf of each tree. `left` has a word for each tree. */
static void NAME(mark_row)(const Forest *forest, const uint32_t *codes, WORD *left, uint32_t *leaves)
{
    const WORD *marks = forest->list_marks;
    memset(left, 0xff, forest->trees * sizeof *left);
    for (size_t slot = 0; slot < forest->slot_count; slot++) {
        uint32_t node = forest->list_starts[slot], end = forest->list_starts[slot + 1];
        uint32_t mine = codes[slot];
        if (slot < forest->first_categorical)
            end = node + below(forest->list_codes + node, end - node, mine);
        else
            for (; node < end; node++)
                if (!in_set(forest, forest->list_codes[node], mine))
                    left[forest->list_trees[node]] &= marks[node];
        for (; node < end; node++)
            left[forest->list_trees[node]] &= marks[node];
    }
    for (size_t tree = 0; tree < forest->trees; tree++)
        leaves[tree] = NAME(first_leaf)(forest, tree, left[tree]);
}

/* ROWS rows through the nodes of one tree: what is left for each row. `codes` has ROWS for each slot. */
CLONES static void NAME(mark_tree)(const Forest *forest, size_t begin, size_t end,
                                   const SIGNED *codes, WORD *left)
{
    const WORD *marks = forest->marks;
    NAME(Vector) a, b, c, d;
    memset(&a, 0xff, sizeof a);
    b = c = d = a;
    for (size_t node = begin; node < end; node++) {
        uint64_t bits = forest->nodes[node], slot = bits & forest->slot_mask;
        uint32_t code = (uint32_t)(bits >> forest->slot_bits & forest->code_mask);
        const SIGNED *mine = codes + slot * NAME(ROWS);
        SIGNED out = (SIGNED)~marks[node], least = (SIGNED)((WORD)code ^ TURN);
        const NAME(Vector) *wide = (const NAME(Vector) *)mine;
        if (__builtin_expect(slot >= forest->first_categorical, 0)) {
            NAME(Vector) chosen[4];
            for (int row = 0; row < NAME(ROWS); row++)
                chosen[row / NAME(WIDE)][row % NAME(WIDE)] =
                    in_set(forest, code, (uint32_t)((WORD)mine[row] ^ TURN)) ? 0 : out;
            a &= ~chosen[0], b &= ~chosen[1], c &= ~chosen[2], d &= ~chosen[3];
            continue;
        }
        a &= ~((wide[0] > least) & out);
        b &= ~((wide[1] > least) & out);
        c &= ~((wide[2] > least) & out);
        d &= ~((wide[3] > least) & out);
    }
    memcpy(left, &a, sizeof a);
    memcpy(left + NAME(WIDE), &b, sizeof b);
    memcpy(left + 2 * NAME(WIDE), &c, sizeof c);
    memcpy(left + 3 * NAME(WIDE), &d, sizeof d);
}

/* Up to ROWS rows. `codes` has ROWS for each slot, and lies as vectors want it. */
static void NAME(mark_block)(const Forest *forest, const double *rows, size_t count, double *sums,
                             SIGNED *codes)
{
    WORD left[NAME(ROWS)];
    for (size_t place = 0; place < forest->slot_count; place++) {
        const Slot *slot = &forest->slots[place];
        SIGNED *into = codes + place * NAME(ROWS);
        for (size_t row = 0; row < count; row++) {
            double value = rows[row * forest->features + slot->feature];
            into[row] = (SIGNED)((WORD)code_of(forest, slot, value) ^ TURN);
        }
        for (size_t row = count; row < NAME(ROWS); row++)
            into[row] = (SIGNED)TURN;
    }
    for (size_t row = 0; row < count; row++)
        start(forest, sums + row * forest->columns);
    for (size_t tree = 0; tree < forest->trees; tree++) {
        size_t nodes = forest->tree_starts[tree + 1] - forest->tree_starts[tree] - 1;
        size_t end = nodes ? (size_t)forest->roots[tree] + 1 : 0;
        NAME(mark_tree)(forest, end - nodes, end, codes, left);
        for (size_t row = 0; row < count; row++)
            add(forest, tree, NAME(first_leaf)(forest, tree, left[row]), sums + row * forest->columns);
    }
    for (size_t row = 0; row < count; row++)
        finish(forest, sums + row * forest->columns);
}

static void NAME(mark_rows)(const Forest *forest, const double *rows, size_t count, double *sums,
                            void *scratch)
{
    uintptr_t at = ((uintptr_t)scratch + 63) & ~(uintptr_t)63;
    while (count >= FEW) {
        size_t block = count < NAME(ROWS) ? count : NAME(ROWS);
        NAME(mark_block)(forest, rows, block, sums, (SIGNED *)at);
        rows += block * forest->features;
        sums += block * forest->columns;
        count -= block;
    }
    for (; count; count--, rows += forest->features, sums += forest->columns) {
        uint32_t *codes = scratch, *leaves = codes + forest->slot_count;
        WORD *left = (WORD *)(((uintptr_t)(leaves + forest->trees) + 7) & ~(uintptr_t)7);
        code_row(forest, rows, codes);
        NAME(mark_row)(forest, codes, left, leaves);
        sum_leaves(forest, leaves, sums);
    }
}

#undef JOIN_
#undef JOIN
#undef NAME
#undef WORD
#undef SIGNED
#undef TURN
#undef BITS
