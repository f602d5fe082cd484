// Sums over the rows of x (R, C), added up in float64.
//
// A block takes up to 256 columns and a stretch of the rows. Of few columns its threads have several rows at a time, so
// that a warp reads 128 bytes in a row all the same; those with one column meet in shared memory. Where the stretches
// are several, their sums are parts, which a second launch adds up in order. No atomics. x is read once, an addition for
// 4 bytes: bound by memory.

// y[c] = Σ_r x[r, c], or parts[p, c] of stretch p where there are parts
KERNEL column_sums(const real *x, double *parts, real *y, int rows, int columns, int stretch) {
    __shared__ double lanes[256];
    const int left = blockIdx.x * 256, width = min(columns - left, 256), deep = 256 / width, t = threadIdx.x;
    const int end = min((long long)rows, (blockIdx.y + 1LL) * stretch);
    double sum = 0;
    if (t < deep * width) {
        const real *from = x + left + t % width;
#pragma unroll 8
        for (int r = blockIdx.y * stretch + t / width; r < end; r += deep) sum += from[(long long)r * columns];
    }
    lanes[t] = sum;
    __syncthreads();
    if (t >= width) return;
    for (int i = 1; i < deep; i++) sum += lanes[i * width + t];
    if (parts) parts[(long long)blockIdx.y * columns + left + t] = sum;
    else y[left + t] = (real)sum;
}

// y[c] = Σ_p parts[p, c]
KERNEL add_column_parts(const double *parts, int count, real *y, int columns) {
    COLUMN;
    const double sum = all_parts(parts, count, columns, c);
    if (threadIdx.x < 32 && c < columns) y[c] = (real)sum;
}
