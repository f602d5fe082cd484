// Batch norm over the rows of x (R, C): y = (x - mean)·rstd·gamma + beta.
//
// A block takes 32 columns and a stretch of the rows (prelude.cuh): no atomics. Forward reads x
// three times (mean, then Σ (x - mean)², which does not cancel, then y) and writes it once; backward reads g and x twice
// and writes once. Some ten operations an element: bound by memory.

// parts[p, c] = Σ x
KERNEL sums(const real *x, double *parts, int rows, int columns, int stretch) {
    COLUMN;
    double sum = 0;
    EACH_ROW(i) sum += x[i];
    PART(sum);
}

// parts[p, c] = Σ (x - mean)²
KERNEL squares(const real *x, const double *sums, int count, double *parts, int rows, int columns, int stretch) {
    COLUMN;
    const real mean = (real)(all_parts(sums, count, columns, c) / rows);
    double sum = 0;
    EACH_ROW(i) {
        double d = x[i] - mean;
        sum += d * d;
    }
    PART(sum);
}

KERNEL normalise(const real *x, const real *gamma, const real *beta, const double *sums, const double *squares, int count,
                 double eps, real *y, real *mean_out, real *var_out, real *rstd_out, int rows, int columns, int stretch) {
    COLUMN;
    const real mean = (real)(all_parts(sums, count, columns, c) / rows);
    const real var = (real)(all_parts(squares, count, columns, c) / rows);
    const real rstd = 1 / sqrt(var + (real)eps);
    if (blockIdx.y == 0 && threadIdx.x < 32 && c < columns) {
        mean_out[c] = mean;
        var_out[c] = var;
        rstd_out[c] = rstd;
    }
    EACH_ROW(i) y[i] = (x[i] - mean) * rstd * gamma[c] + beta[c];
}

// parts[0, p, c] = Σ g      parts[1, p, c] = Σ g·x̂
KERNEL gradient_sums(const real *g, const real *x, const real *mean, const real *rstd, double *parts, int rows,
                     int columns, int stretch) {
    COLUMN;
    double sum = 0, product = 0;
    EACH_ROW(i) {
        sum += g[i];
        product += g[i] * ((x[i] - mean[c]) * rstd[c]);
    }
    {
        PART(sum);
    }
    parts += (long long)gridDim.y * columns;
    PART(product);
}

// gx = gamma·rstd·(g - mean g - x̂·mean(g·x̂))
KERNEL gradient(const real *g, const real *x, const real *gamma, const real *mean, const real *rstd,
                const double *parts, int count, real *gx, real *ggamma, real *gbeta, int rows, int columns, int stretch) {
    COLUMN;
    const double sum = all_parts(parts, count, columns, c);
    const double product = all_parts(parts + (long long)count * columns, count, columns, c);
    if (blockIdx.y == 0 && threadIdx.x < 32 && c < columns) {
        gbeta[c] = (real)sum;
        ggamma[c] = (real)product;
    }
    const real mean_g = (real)(sum / rows), mean_gx = (real)(product / rows);
    EACH_ROW(i) {
        real normal = (x[i] - mean[c]) * rstd[c];
        gx[i] = gamma[c] * rstd[c] * (g[i] - mean_g - normal * mean_gx);
    }
}
