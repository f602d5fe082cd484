// Softmax, its relatives and losses along rows of C neighbouring elements. A warp takes a row: its lanes read 128 bytes at a
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

#define ROW(array)                                                        \
    const long long r = blockIdx.x * 8LL + threadIdx.x / 32;              \
    if (r >= rows) return; /* all of a warp */                            \
    array += r * columns

// e^(x - max) / Σ e^(x - max)
KERNEL softmax(const real *x, real *y, long long rows, int columns) {
    ROW(x);
    real m = row_max(x, columns), s = row_sum(x, columns, m);
    EACH_COLUMN(c) y[r * columns + c] = exp(x[c] - m) / s;
}

// gx = y·(g - Σ g·y), y the softmax
KERNEL softmax_backward(const real *g, const real *y, real *gx, long long rows, int columns) {
    ROW(g);
    y += r * columns;
    real s = 0;
    EACH_COLUMN(c) s += g[c] * y[c];
    s = warp_sum(s);
    EACH_COLUMN(c) gx[r * columns + c] = y[c] * (g[c] - s);
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

// loss = log Σ e^(x - m) - (x_t - m), m = max x; NaN for a class t that there is not
KERNEL cross_entropy(const real *x, const long long *target, real *loss, real *largest, real *log_sum, long long rows,
                     int columns) {
    ROW(x);
    real m = row_max(x, columns), s = log(row_sum(x, columns, m));
    if (threadIdx.x % 32 == 0) {
        const long long t = target[r];
        loss[r] = 0 <= t && t < columns ? s - (x[t] - m) : (real)nan("");
        largest[r] = m;
        log_sum[r] = s;
    }
}

// y = g·(e^(x - m - log Σ) - [c = t]): a thread four elements
KERNEL cross_entropy_backward(const real *g, const real *x, const long long *target, const real *largest,
                              const real *log_sum, real *y, int columns, long long n) {
    FOR_EACH(i, n) {
        const long long r = i / columns;
        y[i] = g[r] * (exp(x[i] - largest[r] - log_sum[r]) - (real)(i % columns == target[r]));
    }
}

// y = -½ Σ (1 + v - x² - e^v), v = log σ²
KERNEL kl(const real *x, const real *v, real *y, long long rows, int columns) {
    ROW(x);
    v += r * columns;
    real s = 0;
    EACH_COLUMN(c) s += 1 + v[c] - x[c] * x[c] - exp(v[c]);
    s = warp_sum(s);
    if (threadIdx.x % 32 == 0) y[r] = s * (real)-0.5;
}

// gx = g·x      gv = ½ g·(e^v - 1); null for one that is not wanted
KERNEL kl_backward(const real *g, const real *x, const real *v, real *gx, real *gv, int columns, long long n) {
    FOR_EACH(i, n) {
        const real h = g[i / columns];
        if (gx) gx[i] = h * x[i];
        if (gv) gv[i] = h * ((exp(v[i]) - 1) * (real)0.5);
    }
}
