/* One row through small trees that compare few numbers of few features: included by _walk.c.
 *
 * A row's codes fit into one register as bytes, and a tree's nodes as well, so a tree is answered without a
 * branch: one permutation brings to every node the code that it reads, one comparison tells where
 * the row goes right, and the marks of those nodes (see _marks.h) are ANDed to the leaf that is left. Rows go
 * through a tree four at a time, so that it is fetched once for all of them.
 *
 * It takes AVX-512 with byte permutations, which the processor is asked for; elsewhere marks answer.
 */
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define BYTES __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,bmi")))
enum { BYTE_SLOTS_MOST = 64, TOGETHER = 4 };

static int bytes_can(void)
{
    return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* A row's codes as bytes: how many of the codes that its slot's nodes have are below its own. */
static void byte_row(const Forest *forest, const double *row, uint8_t *bytes)
{
    for (size_t place = 0; place < forest->slot_count; place++) {
        const Slot *slot = &forest->slots[place];
        uint32_t code = code_of(forest, slot, row[slot->feature]);
        if (forest->flags & DIRECT) {
            uint32_t first = forest->byte_starts[place], end = forest->byte_starts[place + 1];
            code = below(forest->byte_table + first, end - first, code);
        }
        bytes[place] = code < 255 ? (uint8_t)code : 255;
    }
}

/* The AND of 16 words. */
BYTES static inline uint32_t left32(__m512i words)
{
    __m256i half = _mm256_and_si256(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64(words, 1));
    __m128i part = _mm_and_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    uint64_t two = (uint64_t)_mm_extract_epi64(part, 0) & (uint64_t)_mm_extract_epi64(part, 1);
    return (uint32_t)two & (uint32_t)(two >> 32);
}

/* `rows` rows, at most TOGETHER, through all trees: the leaf of each, row by row. */
BYTES static void byte_rows32(const Forest *forest, const uint8_t *bytes, size_t rows, uint32_t *leaves)
{
    const __m512i all = _mm512_set1_epi32(-1);
    __m512i mine[TOGETHER];
    for (size_t row = 0; row < rows; row++)
        mine[row] = _mm512_loadu_si512(bytes + row * 64);
    for (size_t tree = 0; tree < forest->trees; tree++) {
        uint32_t nodes = forest->tree_starts[tree + 1] - forest->tree_starts[tree] - 1;
        uint32_t there = nodes ? UINT32_MAX >> (32 - nodes) : 0;
        const uint32_t *marks = (const uint32_t *)forest->marks + (nodes ? forest->roots[tree] + 1 - nodes : 0);
        __m512i which = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(forest->byte_slots + tree * 32)));
        __m512i codes = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(forest->byte_codes + tree * 32)));
        __m512i low = _mm512_mask_loadu_epi32(all, (__mmask16)there, marks);
        __m512i high = _mm512_mask_loadu_epi32(all, (__mmask16)(there >> 16), marks + 16);
        for (size_t row = 0; row < rows; row++) {
            __m512i own = _mm512_permutexvar_epi8(which, mine[row]);
            uint32_t right = (uint32_t)_mm512_cmpgt_epu8_mask(own, codes) & there;
            __m512i words = _mm512_mask_mov_epi32(all, (__mmask16)right, low);
            words = _mm512_mask_and_epi32(words, (__mmask16)(right >> 16), words, high);
            leaves[row * forest->trees + tree] = first_leaf32(forest, tree, left32(words));
        }
    }
}

/* The same where nodes are heaps: a row's turns are the bits of its leaf's place. */
BYTES static inline __attribute__((always_inline)) void
byte_heaps(const Forest *forest, const uint8_t *bytes, const size_t rows, uint32_t *leaves)
{
    __m512i mine[TOGETHER];
    for (size_t row = 0; row < rows; row++)
        mine[row] = _mm512_loadu_si512(bytes + row * 64);
    for (size_t tree = 0; tree < forest->trees; tree++) {
        __m512i which = _mm512_loadu_si512(forest->byte_slots + tree * 64);
        __m512i codes = _mm512_loadu_si512(forest->byte_codes + tree * 64);
        for (size_t row = 0; row < rows; row++) {
            uint64_t right = _mm512_cmpgt_epu8_mask(_mm512_permutexvar_epi8(which, mine[row]), codes), place = 1;
            for (int turn = 0; turn < 6; turn++)
                place = 2 * place + (right >> place & 1);
            leaves[row * forest->trees + tree] = forest->heap_leaves[tree * 64 + place - 64];
        }
    }
}

BYTES static void heaps_once_or_more(const Forest *forest, const uint8_t *bytes, size_t rows, uint32_t *leaves)
{
    if (rows == TOGETHER)
        byte_heaps(forest, bytes, TOGETHER, leaves);
    else
        for (size_t row = 0; row < rows; row++)
            byte_heaps(forest, bytes + row * 64, 1, leaves + row * forest->trees);
}

/* Sums of TOGETHER rows side by side, each in the order of its trees. */
#define SUM_TOGETHER(name, number)                                                                  \
    static void name(const Forest *forest, const uint32_t *leaves, double *sums)                    \
    {                                                                                               \
        const double *values = forest->leaves;                                                      \
        size_t trees = forest->trees;                                                               \
        number sum[TOGETHER];                                                                       \
        for (size_t row = 0; row < TOGETHER; row++)                                                 \
            sum[row] = (number)forest->base[0];                                                     \
        for (size_t tree = 0; tree < trees; tree++)                                                 \
            for (size_t row = 0; row < TOGETHER; row++)                                             \
                sum[row] += (number)values[leaves[row * trees + tree]];                             \
        for (size_t row = 0; row < TOGETHER; row++) {                                               \
            sums[row] = sum[row];                                                                   \
            finish(forest, sums + row);                                                             \
        }                                                                                           \
    }
SUM_TOGETHER(sum_floats, float)
SUM_TOGETHER(sum_doubles, double)

static void byte_rows(const Forest *forest, const double *rows, size_t count, double *sums, uint32_t *leaves)
{
    uint8_t bytes[TOGETHER * 64] = {0};
    int plain = forest->columns == 1 && (!(forest->flags & FLOAT32_SUMS) || forest->floats);
    while (count) {
        size_t some = count < TOGETHER ? count : TOGETHER;
        for (size_t row = 0; row < some; row++)
            byte_row(forest, rows + row * forest->features, bytes + row * 64);
        if (forest->mark_bits == 32)
            byte_rows32(forest, bytes, some, leaves);
        else
            heaps_once_or_more(forest, bytes, some, leaves);
        if (plain && some == TOGETHER)
            (forest->floats ? sum_floats : sum_doubles)(forest, leaves, sums);
        else
            for (size_t row = 0; row < some; row++)
                sum_leaves(forest, leaves + row * forest->trees, sums + row * forest->columns);
        rows += some * forest->features;
        sums += some * forest->columns;
        count -= some;
    }
}
#else
enum { BYTE_SLOTS_MOST = 0, TOGETHER = 1 };
static int bytes_can(void) { return 0; }
static void byte_rows(const Forest *forest, const double *rows, size_t count, double *sums, uint32_t *leaves)
{
    (void)forest, (void)rows, (void)count, (void)sums, (void)leaves;
}
#endif
