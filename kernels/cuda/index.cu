// Gathers, and their adjoints without atomics: where indices repeat, what they add up to is added in their order.
//
// x (A, n, B), indices (K), y (A, K, B). The adjoint of y = x[:, indices] has to add up, for each row of x, all rows of
// y that name it. So the indices are sorted, each together with its place, which makes all keys different and any right
// order the same: `sort_runs` sorts runs of 1024 by counting, for each key, how many are less; `merge_runs` makes runs
// twice as long of two, where a thread finds its key's new place by halving the other run. 1 + log₂(K/1024) launches, 16
// bytes a key each, and nothing asked of the host: a graph holds them. In that order rows of the same index are
// neighbours, and the thread that meets the first of them adds them up, one after another: an index that is named very
// often keeps few threads busy for long. Each element of g is read once and of x written once.

// y[a, k, b] = x[a, indices[k], b]; NaN where there is no such row
KERNEL take(const real *x, const long long *indices, real *y, long long n, int size, int count, int after) {
    FOR_EACH(i, n) {
        const u32 row = (u32)i / after, b = (u32)i - row * after, a = row / count;
        const long long at = indices[row - a * count];
        y[i] = 0 <= at && at < size ? x[((long long)a * size + at) * after + b] : (real)nan("");
    }
}

#define RUN 1024

// index << 32 | place; an index that is out of range counts as n, after all others
static __device__ __forceinline__ u64 key_of(const long long *indices, int k, int size) {
    long long at = indices[k];
    return (u64)(0 <= at && at < size ? at : size) << 32 | (u32)k;
}

KERNEL sort_runs(const long long *indices, u64 *keys, int size, int count) {
    __shared__ u64 tile[256];
    const int k = blockIdx.x * 256 + threadIdx.x, start = blockIdx.x * 256 / RUN * RUN;
    const u64 mine = k < count ? key_of(indices, k, size) : ~0ull;
    int rank = 0;
    for (int from = start; from < min(count, start + RUN); from += 256) {
        const int other = from + threadIdx.x;
        __syncthreads();
        tile[threadIdx.x] = other < count ? key_of(indices, other, size) : ~0ull;
        __syncthreads();
        for (int j = 0; j < 256; j++) rank += tile[j] < mine;
    }
    if (k < count) keys[start + rank] = mine;
}

// Two runs, [start, middle) and [middle, end), become one: a key goes as far as there are lesser keys in both
KERNEL merge_runs(const u64 *from, u64 *to, long long run, long long count) {
    FOR_EACH(i, count) {
        const u64 mine = from[i];
        const long long start = i / (2 * run) * (2 * run), middle = min(start + run, count);
        const bool first = i < middle;
        long long low = first ? middle : start, high = first ? min(start + 2 * run, count) : middle;
        const long long other = low;
        while (low < high) {
            const long long half = (low + high) / 2;
            if (from[half] < mine) low = half + 1;
            else high = half;
        }
        to[start + (i - (first ? start : middle)) + (low - other)] = mine;
    }
}

// x[a, indices[k], b] = Σ g[a, k, b]; the rest of x is zero before
KERNEL add_runs(const real *g, const u64 *keys, real *x, long long n, int size, int count, int after) {
    FOR_EACH(i, n) {
        const u32 row = (u32)i / after, b = (u32)i - row * after, a = row / count;
        int r = row - a * count;
        const u64 at = keys[r] >> 32;
        if (at >= (u64)size || (r > 0 && keys[r - 1] >> 32 == at)) continue;
        real sum = 0;
        for (; r < count && keys[r] >> 32 == at; r++) sum += g[((long long)a * count + (u32)keys[r]) * after + b];
        x[((long long)a * size + (long long)at) * after + b] = sum;
    }
}

// x[a, v, b] = Σ g[a, k, b] over the k with indices[a, k, b] = v
KERNEL add_along(const real *g, const long long *indices, real *x, long long n, int size, int count, int after) {
    FOR_EACH(i, n) {
        long long b = i % after, v = i / after % size, a = i / after / size;
        real sum = 0;
        for (int k = 0; k < count; k++) {
            long long at = (a * count + k) * after + b;
            if (indices[at] == v) sum += g[at];
        }
        x[i] = sum;
    }
}
