// One step of a recurrent layer, after its product m = h_{t-1} R, forward, and backward before its product with Rᵀ.
//
// A thread has one unit of one sequence: it reads its gates' sums, state and bias, and writes gates and state, each
// once: in float32 some 16 bytes a step and unit for the RNN, 60 for the LSTM, 48 for the GRU, and 10 to 50 operations.
// A step is too small to fill a GPU: what counts is that it is one launch, which a graph makes cheap. Past its length a
// sequence keeps its state; `lengths` is null where all are whole.
//
// The states: h (N, H) before the step, y[t] after it. Backward `carry` (N, H) is what goes round the product (past a
// sequence's end, and through the GRU's z), `p` the product dz_{t+1} Rᵀ; both are null, as 0, at the last step.

static __device__ __forceinline__ real sigma(real x) {
    real e = exp(-fabs(x));
    return (x >= 0 ? (real)1 : e) / (1 + e);
}

#define EACH_UNIT(k)                                                                        \
    FOR_EACH(k, (long long)batch * size)                                                    \
        if ([[maybe_unused]] const int n = (int)(k / size), u = (int)(k % size); true)      \
            if (const bool inside = !lengths || t < lengths[n]; true)

// y = f(z + b + m)
KERNEL rnn(const real *z, const real *b, const real *m, const real *h, real *y, const int *lengths, int t, int tanh_not_relu,
           int batch, int size) {
    EACH_UNIT(k) {
        real v = z[k] + b[u] + m[k];
        v = tanh_not_relu ? tanh(v) : v < 0 ? (real)0 : v;
        y[k] = inside ? v : h[k];
    }
}

KERNEL rnn_backward(const real *g, const real *y, const real *p, real *carry, real *dz, const int *lengths, int t,
                    int tanh_not_relu, int first, int batch, int size) {
    EACH_UNIT(k) {
        real dh = g[k] + (first ? (real)0 : p[k] + carry[k]);
        real slope = tanh_not_relu ? 1 - y[k] * y[k] : (real)(y[k] > 0);
        dz[k] = inside ? dh * slope : (real)0;
        carry[k] = inside ? (real)0 : dh;
    }
}

// i, f, o = σ, g = tanh of gates + b + m      c = f c + i g      y = o tanh c
KERNEL lstm(real *gates, const real *b, const real *m, const real *h, const real *c, real *cell, real *y,
            const int *lengths, int t, int batch, int size) {
    EACH_UNIT(k) {
        real v[4];
        for (int q = 0; q < 4; q++) {
            long long at = (4LL * n + q) * size + u;
            v[q] = gates[at] + b[q * size + u] + m[at];
            gates[at] = v[q] = q == 2 ? tanh(v[q]) : sigma(v[q]);
        }
        real now = v[1] * c[k] + v[0] * v[2];
        cell[k] = inside ? now : c[k];
        y[k] = inside ? v[3] * tanh(now) : h[k];
    }
}

KERNEL lstm_backward(const real *g, const real *gates, const real *cell, const real *before, const real *p, real *carry,
                     real *dc, real *dz, const int *lengths, int t, int first, int batch, int size) {
    EACH_UNIT(k) {
        const real *v = gates + 4LL * n * size + u;
        real *d = dz + 4LL * n * size + u;
        real i = v[0], f = v[size], c = v[2 * size], o = v[3 * size], bent = tanh(cell[k]);
        real dh = g[k] + (first ? (real)0 : p[k] + carry[k]), through = dc[k] + dh * o * (1 - bent * bent);
        d[0] = inside ? through * c * i * (1 - i) : (real)0;
        d[size] = inside ? through * before[k] * f * (1 - f) : (real)0;
        d[2 * size] = inside ? through * i * (1 - c * c) : (real)0;
        d[3 * size] = inside ? dh * bent * o * (1 - o) : (real)0;
        carry[k] = inside ? (real)0 : dh;
        dc[k] = inside ? through * f : dc[k];
    }
}

// r, z = σ(x + b + m)      n = tanh(x + b + r·(m + b'))      y = (1 - z) n + z h; x and m (N, 3H), gates (N, 4H)
KERNEL gru(const real *x, const real *b, const real *m, const real *h, real *gates, real *y, const int *lengths, int t,
           int batch, int size) {
    EACH_UNIT(k) {
        const real *a = x + 3LL * n * size + u, *w = m + 3LL * n * size + u;
        real *out = gates + 4LL * n * size + u;
        real r = sigma(a[0] + b[u] + w[0]), z = sigma(a[size] + b[size + u] + w[size]);
        real inner = w[2 * size] + b[3 * size + u], v = tanh(a[2 * size] + b[2 * size + u] + r * inner);
        out[0] = r;
        out[size] = z;
        out[2 * size] = v;
        out[3 * size] = inner;
        y[k] = inside ? (1 - z) * v + z * h[k] : h[k];
    }
}

KERNEL gru_backward(const real *g, const real *gates, const real *before, const real *p, const real *q, real *carry,
                    real *dz, const int *lengths, int t, int first, int batch, int size) {
    EACH_UNIT(k) {
        const real *v = gates + 4LL * n * size + u;
        real *d = dz + 4LL * n * size + u;
        real r = v[0], z = v[size], c = v[2 * size], inner = v[3 * size];
        real dh = g[k] + (first ? (real)0 : p[k] + q[k] + carry[k]), dn = dh * (1 - z) * (1 - c * c);
        d[0] = inside ? dn * inner * r * (1 - r) : (real)0;
        d[size] = inside ? dh * (before[k] - c) * z * (1 - z) : (real)0;
        d[2 * size] = inside ? dn : (real)0;
        d[3 * size] = inside ? dn * r : (real)0;
        carry[k] = inside ? dh * z : dh;
    }
}
