// Layer norm along rows of C neighbouring elements: y = (x - mean)·rstd·gamma + beta, mean and variance of the row.
//
// A group of threads takes a row, a warp, or a block of 256 where rows are longer than 1024; it meets in shuffles and,
// if it is a block, in shared memory, always in the same order. Forward reads x three times (from cache after the first:
// mean, then Σ (x - mean)², which does not cancel, then y) and writes it once, in one launch. Backward reads g and x
// twice (and gamma) and writes gx once; the sums over rows, gamma's and beta's gradients, are one more pass over g and x
// in stretches of rows (prelude.cuh), and a launch that adds these up. Some ten operations an element: bound by memory.

#define GROUP_ROW                                                                          \
    const int lane = threadIdx.x % group;                                                  \
    const long long r = (long long)blockIdx.x * (256 / group) + threadIdx.x / group;       \
    if (r >= rows) return; /* all of a warp; never where the group is the block */         \
    const long long start = r * columns
#define EACH_IN_ROW(c) for (int c = lane; c < columns; c += group)

static __device__ __forceinline__ double group_sum(double v, int group) {
    for (int mask = 16; mask; mask /= 2) v += __shfl_xor_sync(0xffffffffu, v, mask);
    if (group == 32) return v;
    __shared__ double warps[8];
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += warps[i];
    return sum;
}

KERNEL layer_norm(const real *x, const real *gamma, const real *beta, double eps, real *y, real *mean_out,
                  real *rstd_out, int group, long long rows, int columns) {
    GROUP_ROW;
    double sum = 0;
    EACH_IN_ROW(c) sum += x[start + c];
    const real mean = (real)(group_sum(sum, group) / columns);
    sum = 0;
    EACH_IN_ROW(c) {
        double d = x[start + c] - mean;
        sum += d * d;
    }
    const real rstd = 1 / sqrt((real)(group_sum(sum, group) / columns) + (real)eps);
    if (lane == 0) {
        mean_out[r] = mean;
        rstd_out[r] = rstd;
    }
    EACH_IN_ROW(c) y[start + c] = (x[start + c] - mean) * rstd * gamma[c] + beta[c];
}

// h = g·gamma      gx = rstd·(h - mean h - x̂·mean(h·x̂))
KERNEL layer_gradient(const real *g, const real *x, const real *gamma, const real *mean, const real *rstd, real *gx,
                      int group, long long rows, int columns) {
    GROUP_ROW;
    double sum = 0, product = 0;
    EACH_IN_ROW(c) {
        real h = g[start + c] * gamma[c];
        sum += h;
        product += h * ((x[start + c] - mean[r]) * rstd[r]);
    }
    const real mean_h = (real)(group_sum(sum, group) / columns), mean_hx = (real)(group_sum(product, group) / columns);
    EACH_IN_ROW(c) {
        real normal = (x[start + c] - mean[r]) * rstd[r];
        gx[start + c] = rstd[r] * (g[start + c] * gamma[c] - mean_h - normal * mean_hx);
    }
}

// parts[0, p, c] = Σ g      parts[1, p, c] = Σ g·x̂, over a stretch of the rows
KERNEL layer_sums(const real *g, const real *x, const real *mean, const real *rstd, double *parts, int rows,
                  int columns, int stretch) {
    COLUMN;
    double sum = 0, product = 0;
    EACH_ROW(i) {
        sum += g[i];
        product += g[i] * ((x[i] - mean[r]) * rstd[r]);
    }
    {
        PART(sum);
    }
    parts += (long long)gridDim.y * columns;
    PART(product);
}

KERNEL layer_parameters(const double *parts, int count, real *ggamma, real *gbeta, int columns) {
    COLUMN;
    const double sum = all_parts(parts, count, columns, c);
    const double product = all_parts(parts + (long long)count * columns, count, columns, c);
    if (threadIdx.x < 32 && c < columns) {
        gbeta[c] = (real)sum;
        ggamma[c] = (real)product;
    }
}
