// Adam over up to 64 parameters in one launch: a block looks up whose 1024 elements it has, in a table that comes with
// the launch itself (3 KB of the 4 KB that a launch may pass), so that nothing is uploaded and a graph holds it.
//
//     m ← m + (1 - beta1)·(g - m)      v ← beta2·v + (1 - beta2)·g²      p ← p - rate·m / (√v/root + eps)
//     rate = lr/(1 - beta1^step), root = √(1 - beta2^step); `decoupled` first p ← (1 - lr·decay)·p, else g ← g + decay·p
//
// Reads p, g, m, v and writes p, m, v once: 28 bytes an element in float32, 15 operations. lr and step come by value, or
// from the device, where a graph that is replayed finds those of its turn.

struct Parameters {
    real *p[64];
    const real *g[64];
    real *m[64], *v[64];
    long long size[64];
    int first[64];  // block of each
};

KERNEL adam(Parameters all, int count, const double *lr_now, const double *step_now, double lr, double step,
            double beta1, double beta2, double eps, double decay, int decoupled) {
    __shared__ real scalars[2];
    if (lr_now) lr = *lr_now, step = *step_now;
    if (threadIdx.x == 0) {
        scalars[0] = (real)(lr / (1 - pow(beta1, step)));
        scalars[1] = (real)sqrt(1 - pow(beta2, step));
    }
    __syncthreads();
    int k = 0;
    while (k + 1 < count && all.first[k + 1] <= (int)blockIdx.x) k++;
    real *p = all.p[k], *m = all.m[k], *v = all.v[k];
    const real *g = all.g[k];
    const real rate = scalars[0], root = scalars[1], keep = (real)(decoupled ? 1 - lr * decay : 1.0);
    const real added = (real)(decoupled ? 0.0 : decay), fresh1 = (real)(1 - beta1), fresh2 = (real)(1 - beta2);
    const long long from = (blockIdx.x - all.first[k]) * 1024LL;
    for (long long i = from + threadIdx.x; i < min(from + 1024LL, all.size[k]); i += 256) {
        real was = p[i], slope = added != 0 ? g[i] + added * was : g[i];
        real mean = m[i] + fresh1 * (slope - m[i]), square = v[i] * (real)beta2 + fresh2 * (slope * slope);
        m[i] = mean;
        v[i] = square;
        p[i] = was * keep - rate * (mean / (sqrt(square) / root + (real)eps));
    }
}
