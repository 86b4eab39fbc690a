/* Parity of a row by ISA-L, on one thread, again and again.
 *
 * Arguments: `encode` or `update`, the number of roots, and how often. The row comes on stdin, as
 * 255 - roots blocks; the planes of its parity go to stdout, and the seconds of processor time of
 * all repetitions to stderr. */
#include <isa-l.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 4096 };

static unsigned char row[255][BLOCK] __attribute__((aligned(64)));
static unsigned char planes[24][BLOCK] __attribute__((aligned(64)));
static unsigned char matrix[24 * 255], tables[32 * 24 * 255];

/* What each column adds to each plane: x^(254 - column) modulo the generator. */
static void fill_matrix(unsigned roots, unsigned columns)
{
    unsigned char generator[25] = {1}, remainder[24];
    unsigned char root = 1;
    for (unsigned n = 0; n < roots; n++, root = gf_mul(root, 2))
        for (unsigned i = n + 1; i > 0; i--)
            generator[i] ^= gf_mul(generator[i - 1], root);
    memcpy(remainder, generator + 1, roots);
    for (unsigned column = columns; column-- > 0;) {
        for (unsigned i = 0; i < roots; i++)
            matrix[i * columns + column] = remainder[i];
        unsigned char highest = remainder[0];
        memmove(remainder, remainder + 1, roots - 1);
        remainder[roots - 1] = 0;
        for (unsigned i = 0; i < roots; i++)
            remainder[i] ^= gf_mul(highest, generator[i + 1]);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int update = !strcmp(arguments[1], "update"), roots = atoi(arguments[2]);
    long repeat = atol(arguments[3]);
    if (roots < 2 || roots > 24)
        return 2;
    int columns = 255 - roots;
    unsigned char *sources[255], *sums[24];
    for (int i = 0; i < 255; i++)
        sources[i] = row[i];
    for (int i = 0; i < 24; i++)
        sums[i] = planes[i];
    if (fread(row, BLOCK, columns, stdin) != (size_t)columns)
        return 1;
    fill_matrix(roots, columns);
    ec_init_tables(columns, roots, matrix, tables);

    double start = now();
    for (long n = 0; n < repeat; n++) {
        if (!update) {
            ec_encode_data(BLOCK, columns, roots, tables, sources, sums);
            continue;
        }
        memset(planes, 0, (size_t)roots * BLOCK);
        for (int column = 0; column < columns; column++)
            ec_encode_data_update(BLOCK, columns, roots, column, tables, sources[column], sums);
    }
    fprintf(stderr, "%.9f\n", now() - start);
    return fwrite(planes, BLOCK, roots, stdout) == (size_t)roots ? 0 : 1;
}
