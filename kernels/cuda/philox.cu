// Random numbers by counting: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11), bit for bit those of the CPU.
//
// Thread i turns counter + i into four 32-bit words: ten rounds of two products of 32 bits, each with its upper half;
// nothing is read, 16 bytes are written. With `state` (key, counter's lower and upper half) on the device,
// the counter given is an offset to it: a graph that is replayed finds the numbers that are its turn.

struct Words {
    u32 w[4];
};

static __device__ __forceinline__ Words philox(u64 key, u64 low, u64 high, const u64 *state, u64 i) {
    if (state) {
        key = state[0];
        high += state[2] + (low + state[1] < low);
        low += state[1];
    }
    high += low + i < low;
    low += i;
    u32 c0 = (u32)low, c1 = (u32)(low >> 32), c2 = (u32)high, c3 = (u32)(high >> 32);
    u32 k0 = (u32)key, k1 = (u32)(key >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 left = __umulhi(0xD2511F53u, c0), right = __umulhi(0xCD9E8D57u, c2);
        u32 low0 = 0xD2511F53u * c0, low1 = 0xCD9E8D57u * c2;
        c0 = right ^ c1 ^ k0;
        c1 = low1;
        c2 = left ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

static __device__ __forceinline__ u64 word64(const Words &r, int i) { return r.w[2 * i] | (u64)r.w[2 * i + 1] << 32; }

#define EACH_COUNTER(i, lanes) FOR_EACH(i, (n + (lanes) - 1) / (lanes))
#define PUT(lane, lanes, value) \
    if (i * (lanes) + (lane) < n) out[i * (lanes) + (lane)] = (value)

// [0, 1) in steps of 2^-24 (float) or 2^-53
KERNEL uniform(u64 key, u64 low, u64 high, const u64 *state, real *out, long long n) {
    const int lanes = 16 / sizeof(real);
    EACH_COUNTER(i, lanes) {
        Words r = philox(key, low, high, state, i);
        for (int k = 0; k < lanes; k++)
            PUT(k, lanes, lanes == 4 ? (real)(r.w[k] >> 8) * (real)(1.0 / (1 << 24))
                                     : (real)(word64(r, k % 2) >> 11) * (real)(1.0 / (1LL << 53)));
    }
}

// r·cos 2πv and r·sin 2πv, r = √(-2 log u), u in (0, 1] (Box and Muller, 1958)
KERNEL normal(u64 key, u64 low, u64 high, const u64 *state, real *out, long long n) {
    const int lanes = 16 / sizeof(real);
    EACH_COUNTER(i, lanes) {
        Words r = philox(key, low, high, state, i);
        for (int k = 0; k < lanes; k += 2) {
            real u, v;
            if (lanes == 4) {
                u = (real)((u64)r.w[k] + 1) * (real)(1.0 / (1LL << 32));
                v = (real)(r.w[k + 1] >> 8) * (real)(1.0 / (1 << 24));
            } else {
                u = (real)((word64(r, 0) >> 11) + 1) * (real)(1.0 / (1LL << 53));
                v = (real)(word64(r, 1) >> 11) * (real)(1.0 / (1LL << 53));
            }
            real radius = sqrt((real)-2 * log(u)), angle = (real)6.283185307179586 * v;
            PUT(k, lanes, radius * cos(angle));
            PUT(k + 1, lanes, radius * sin(angle));
        }
    }
}

// whether a word is less than `threshold`, p·2^32
KERNEL bernoulli(u64 key, u64 low, u64 high, const u64 *state, u64 threshold, bool *out, long long n) {
    EACH_COUNTER(i, 4) {
        Words r = philox(key, low, high, state, i);
        for (int k = 0; k < 4; k++) PUT(k, 4, r.w[k] < threshold);
    }
}

// first + floor(w·range / 2^64), where a range of 0 is one of 2^64
KERNEL randint(u64 key, u64 low, u64 high, const u64 *state, u64 first, u64 range, u64 *out, long long n) {
    EACH_COUNTER(i, 2) {
        Words r = philox(key, low, high, state, i);
        for (int k = 0; k < 2; k++) PUT(k, 2, first + (range ? __umul64hi(word64(r, k), range) : word64(r, k)));
    }
}
