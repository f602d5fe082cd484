// Softmax and its relatives along rows of C neighbouring elements. A warp takes a row: its lanes read 128 bytes at a
// time and meet in shuffles, always in the same order. The row is read twice (three times for softmax, from cache after
// the first) and written once: 8 bytes of traffic an element in float32, and one exp, or two.

#define EACH_COLUMN(c) for (int c = threadIdx.x % 32; c < columns; c += 32)

static __device__ __forceinline__ real warp_max(real v) {
    for (int mask = 16; mask; mask /= 2) {
        real other = __shfl_xor_sync(0xffffffffu, v, mask);
        v = other > v || other != other ? other : v;
    }
    return v;
}

static __device__ __forceinline__ real warp_sum(real v) {
    for (int mask = 16; mask; mask /= 2) v += __shfl_xor_sync(0xffffffffu, v, mask);
    return v;
}

static __device__ __forceinline__ real row_max(const real *x, int columns) {
    real m = -INF;
    EACH_COLUMN(c) m = x[c] > m || x[c] != x[c] ? x[c] : m;
    return warp_max(m);
}

static __device__ __forceinline__ real row_sum(const real *x, int columns, real m) {  // Σ e^(x - m)
    real s = 0;
    EACH_COLUMN(c) s += exp(x[c] - m);
    return warp_sum(s);
}

#define ROW(x)                                                            \
    const long long r = blockIdx.x * 8LL + threadIdx.x / 32;              \
    if (r >= rows) return; /* all of a warp */                            \
    x += r * columns

// e^(x - max) / Σ e^(x - max)
KERNEL softmax(const real *x, real *y, long long rows, int columns) {
    ROW(x);
    real m = row_max(x, columns), s = row_sum(x, columns, m);
    EACH_COLUMN(c) y[r * columns + c] = exp(x[c] - m) / s;
}

// (x - max) - log Σ e^(x - max)
KERNEL log_softmax(const real *x, real *y, long long rows, int columns) {
    ROW(x);
    real m = row_max(x, columns), log_s = log(row_sum(x, columns, m));
    EACH_COLUMN(c) y[r * columns + c] = (x[c] - m) - log_s;
}

// m + log Σ e^(x - m), m = max x, or 0 where that is infinite
KERNEL logsumexp(const real *x, real *y, long long rows, int columns) {
    ROW(x);
    real m = row_max(x, columns);
    if (m - m != 0) m = 0;
    real s = log(row_sum(x, columns, m)) + m;
    if (threadIdx.x % 32 == 0) y[r] = s;
}
