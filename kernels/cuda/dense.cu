// What a dense layer does besides its products: y = f(z + b), and backward h = g·f'(y) with its sums over rows, gb = Σ h.
//
// Forward a thread takes four elements, reads and writes each once. Backward a block takes 32 columns and a stretch of
// the rows (prelude.cuh): it reads g and y and writes h once, adding up on the way, so that gb costs no pass of its own.
// A few operations an element: bound by memory, 8 and 12 bytes an element in float32.

enum Activation { NONE, RELU, LEAKY_RELU, SIGMOID, TANH };

// y ← f(y + b)
KERNEL bias_activation(real *y, const real *b, int activation, double slope, int columns, long long n) {
    FOR_EACH(i, n) {
        real z = y[i] + b[(u32)i % columns], e;
        switch (activation) {
            case RELU: z = z < 0 ? (real)0 : z; break;
            case LEAKY_RELU: z = z > 0 ? z : (real)slope * z; break;
            case SIGMOID: e = exp(-fabs(z)), z = (z >= 0 ? (real)1 : e) / (1 + e); break;
            case TANH: z = tanh(z); break;
        }
        y[i] = z;
    }
}

// h = g·f'(y)      parts[p, c] = Σ h
KERNEL activation_backward(const real *g, const real *y, real *h, double *parts, int activation, double slope, int rows,
                           int columns, int stretch) {
    COLUMN;
    double sum = 0;
    EACH_ROW(i) {
        real v = g[i];
        switch (activation) {
            case RELU: v = y[i] > 0 ? v : (real)0; break;
            case LEAKY_RELU: v = y[i] > 0 ? v : (real)slope * v; break;
            case SIGMOID: v = v * y[i] * (1 - y[i]); break;
            case TANH: v = v * (1 - y[i] * y[i]); break;
        }
        h[i] = v;
        sum += v;
    }
    PART(sum);
}
