// Gathers, and their adjoints without atomics: where indices repeat, what they add up to is added in their order.
//
// x (A, n, B), indices (K), y (A, K, B). The adjoint of y = x[:, indices] has to add up, for each row of x, all rows of
// y that name it. `order_of` sorts the indices by counting, for each, how many come before it: K² comparisons, 32
// million a microsecond, in one launch, which a graph can hold. In that order rows of the same index are neighbours, and
// the thread that meets the first of them adds them up. Each element of g is read once and of x written once.

// y[a, k, b] = x[a, indices[k], b]; NaN where there is no such row
KERNEL take(const real *x, const long long *indices, real *y, long long n, int size, int count, int after) {
    FOR_EACH(i, n) {
        long long b = i % after, k = i / after % count, a = i / after / count, at = indices[k];
        y[i] = 0 <= at && at < size ? x[(a * size + at) * after + b] : (real)nan("");
    }
}

// order[rank of k] = k, where the rank counts the smaller indices and the equal ones before k
KERNEL order_of(const long long *indices, int *order, int count) {
    __shared__ long long tile[256];
    const int k = blockIdx.x * 256 + threadIdx.x;
    const long long mine = k < count ? indices[k] : 0;
    int rank = 0;
    for (int from = 0; from < count; from += 256) {
        __syncthreads();
        if (from + (int)threadIdx.x < count) tile[threadIdx.x] = indices[from + threadIdx.x];
        __syncthreads();
        for (int j = 0; j < min(256, count - from); j++) rank += tile[j] < mine || (tile[j] == mine && from + j < k);
    }
    if (k < count) order[rank] = k;
}

// x[a, indices[k], b] = Σ g[a, k, b]; the rest of x is zero before
KERNEL add_runs(const real *g, const long long *indices, const int *order, real *x, long long n, int size, int count,
                int after) {
    FOR_EACH(i, n) {
        long long b = i % after, a = i / after / count;
        int r = (int)(i / after % count);
        const long long at = indices[order[r]];
        if (at < 0 || at >= size || (r > 0 && indices[order[r - 1]] == at)) continue;
        real sum = 0;
        for (; r < count && indices[order[r]] == at; r++) sum += g[(a * count + order[r]) * after + b];
        x[(a * size + at) * after + b] = sum;
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
