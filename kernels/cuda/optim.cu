// What an optimiser does, over up to 64 parameters in one launch: a block looks up whose 1024 elements it has, in a table
// that comes with the launch itself (3.3 KB of the 4 KB that a launch may pass), so that nothing is uploaded and a graph
// holds it.
//
// Each kernel reads and writes each of its arrays once, a thread four elements: Adam 28 bytes an element in float32 for
// 15 operations, SGD 12 (20 with momentum), RMSprop 20 to 36, an average 12. lr and step come by value, or from the
// device, where a graph that is replayed finds those of its turn.

struct Arrays {
    real *at[5][64];  // p, g, m, v, .. of each parameter, as the kernel names them
    long long size[64];
    int first[64];     // block of each
    long long before;  // blocks of the launches before this one
};

#define EACH_OF_MINE(i)                                                          \
    int k = 0;                                                                   \
    while (k + 1 < count && all.first[k + 1] <= (int)blockIdx.x) k++;            \
    const long long from = (blockIdx.x - all.first[k]) * 1024LL;                 \
    for (long long i = from + threadIdx.x; i < min(from + 1024LL, all.size[k]); i += 256)

// m ← m + (1 - beta1)·(g - m)      v ← beta2·v + (1 - beta2)·g²      p ← p - rate·m / (√v/root + eps)
// rate = lr/(1 - beta1^step), root = √(1 - beta2^step); `decoupled` first p ← (1 - lr·decay)·p, else g ← g + decay·p
KERNEL adam(Arrays all, int count, const double *lr_now, const double *step_now, double lr, double step, double beta1,
            double beta2, double eps, double decay, int decoupled) {
    __shared__ real scalars[2];
    if (lr_now) lr = *lr_now, step = *step_now;
    if (threadIdx.x == 0) {
        scalars[0] = (real)(lr / (1 - pow(beta1, step)));
        scalars[1] = (real)sqrt(1 - pow(beta2, step));
    }
    __syncthreads();
    const real rate = scalars[0], root = scalars[1], keep = (real)(decoupled ? 1 - lr * decay : 1.0);
    const real added = (real)(decoupled ? 0.0 : decay), fresh1 = (real)(1 - beta1), fresh2 = (real)(1 - beta2);
    EACH_OF_MINE(i) {
        real *p = all.at[0][k], *m = all.at[2][k], *v = all.at[3][k];
        real was = p[i], g = all.at[1][k][i], slope = added != 0 ? g + added * was : g;
        real mean = m[i] + fresh1 * (slope - m[i]), square = v[i] * (real)beta2 + fresh2 * (slope * slope);
        m[i] = mean;
        v[i] = square;
        p[i] = was * keep - rate * (mean / (sqrt(square) / root + (real)eps));
    }
}

// g ← g + decay·p      m ← momentum·m + g      p ← p - lr·m, with Nesterov p - lr·(g + momentum·m)
KERNEL sgd(Arrays all, int count, const double *lr_now, double lr, double momentum, double decay, int nesterov) {
    const real rate = (real)(lr_now ? *lr_now : lr), kept = (real)momentum, added = (real)decay;
    EACH_OF_MINE(i) {
        real *p = all.at[0][k], *m = all.at[2][k];
        real was = p[i], g = all.at[1][k][i], slope = added != 0 ? g + added * was : g;
        if (kept != 0) {
            m[i] = m[i] * kept + slope;
            slope = nesterov ? slope + kept * m[i] : m[i];
        }
        p[i] = was - rate * slope;
    }
}

// g ← g + decay·p      v ← alpha·v + (1 - alpha)·g²      d = g / (√v + eps)      p ← p - lr·d
// centred mean ← alpha·mean + (1 - alpha)·g, and v - mean² in the place of v; with momentum m ← momentum·m + d for d
KERNEL rmsprop(Arrays all, int count, const double *lr_now, double lr, double alpha, double eps, double momentum,
               double decay, int centred) {
    const real rate = (real)(lr_now ? *lr_now : lr), kept = (real)momentum, added = (real)decay;
    const real fresh = (real)(1 - alpha);
    EACH_OF_MINE(i) {
        real *p = all.at[0][k], *v = all.at[2][k], *m = all.at[3][k], *mean = all.at[4][k];
        real was = p[i], g = all.at[1][k][i], slope = added != 0 ? g + added * was : g;
        real square = v[i] * (real)alpha + fresh * (slope * slope);
        v[i] = square;
        if (centred) {
            mean[i] += fresh * (slope - mean[i]);
            square -= mean[i] * mean[i];
            square = square < 0 ? (real)0 : square;  // a variance; rounding can take it below 0
        }
        real d = slope / (sqrt(square) + (real)eps);
        if (kept != 0) d = m[i] = m[i] * kept + d;
        p[i] = was - rate * d;
    }
}

// a ← a + weight·(b - a)
KERNEL lerp(Arrays all, int count, double weight) {
    EACH_OF_MINE(i) {
        real *a = all.at[0][k];
        a[i] += (real)weight * (all.at[1][k][i] - a[i]);
    }
}

// y = scale·x
KERNEL scaled(Arrays all, int count, const double *scale) {
    EACH_OF_MINE(i) all.at[1][k][i] = (real)*scale * all.at[0][k][i];
}

// Σ over the threads of a block, which meet in shared memory by halves: for thread 0
static __device__ __forceinline__ double block_sum(double v) {
    __shared__ double met[256];
    met[threadIdx.x] = v;
    for (int half = 128; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) met[threadIdx.x] += met[threadIdx.x + half];
    }
    return met[threadIdx.x];
}

// parts[b] = Σ x² of block b
KERNEL squares(Arrays all, int count, double *parts) {
    double sum = 0;
    EACH_OF_MINE(i) {
        double x = all.at[0][k][i];
        sum += x * x;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[all.before + blockIdx.x] = sum;
}

// norm = √(Σ parts), by one block
KERNEL root_of_sum(const double *parts, int count, double *norm) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += 256) sum += parts[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *norm = sqrt(sum);
}
