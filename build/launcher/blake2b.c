/* BLAKE2b with 32 bytes of output and no key (RFC 7693): fast enough to check the whole tree in a few hundredths of a second. */
#include "launcher.h"

#include <string.h>

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* RFC 7693, section 2.7; rounds 10 and 11 use rows 0 and 1 again. */
static const uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotate(uint64_t word, unsigned bits) { return (word >> bits) | (word << (64 - bits)); }

static inline void mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y) {
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

/* Mix one block of 128 bytes in; the machines we build for are little-endian. */
static void compress(struct blake2b *state, const uint8_t block[128], bool last) {
    uint64_t v[16], m[16];
    memcpy(m, block, 128);
    memcpy(v, state->h, sizeof state->h);
    memcpy(v + 8, IV, sizeof IV);
    v[12] ^= state->count;
    if (last) v[14] = ~v[14];
#pragma GCC unroll 12 /* then the compiler knows every index, and takes two thirds of the time */
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = SIGMA[round % 10];
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int i = 0; i < 8; i++) state->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_start(struct blake2b *state) {
    memset(state, 0, sizeof *state);
    memcpy(state->h, IV, sizeof IV);
    state->h[0] ^= 0x01010000 ^ DIGEST_SIZE;
}

void blake2b_add(struct blake2b *state, const uint8_t *data, size_t size) {
    while (size > 0) {
        if (state->filled == 128) { /* more follows, so this block is not the last one */
            state->count += 128;
            compress(state, state->buffer, false);
            state->filled = 0;
        }
        if (state->filled == 0) {
            for (; size > 128; data += 128, size -= 128) {
                state->count += 128;
                compress(state, data, false);
            }
        }
        size_t part = 128 - state->filled;
        if (part > size) part = size;
        memcpy(state->buffer + state->filled, data, part);
        state->filled += part;
        data += part;
        size -= part;
    }
}

void blake2b_end(struct blake2b *state, uint8_t digest[DIGEST_SIZE]) {
    state->count += state->filled;
    memset(state->buffer + state->filled, 0, 128 - state->filled);
    compress(state, state->buffer, true);
    memcpy(digest, state->h, DIGEST_SIZE);
}
