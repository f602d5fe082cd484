// Elementwise kernels, each in one pass where array code makes several: 4 or 8 bytes read for each argument and
// written for the result, some ten operations and an exp or two between. A thread makes four elements (FOR_EACH).

#define UNARY(name, formula)                                    \
    KERNEL name(const real *X, real *Y, long long n) {          \
        FOR_EACH(i, n) {                                        \
            real x = X[i];                                      \
            Y[i] = (formula);                                   \
        }                                                       \
    }

#define UNARY_WITH(name, setting, formula)                                      \
    KERNEL name(const real *X, double given, real *Y, long long n) {            \
        const real setting = (real)given;                                       \
        FOR_EACH(i, n) {                                                        \
            real x = X[i];                                                      \
            Y[i] = (formula);                                                   \
        }                                                                       \
    }

static __device__ __forceinline__ real exp_minus_abs(real x) { return exp(-fabs(x)); }  // never overflows

UNARY(exp_of, exp(x))
UNARY(tanh_of, tanh(x))
// 1 / (1 + e^-x)
UNARY(sigmoid, (x >= 0 ? (real)1 : exp_minus_abs(x)) / (1 + exp_minus_abs(x)))
// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
UNARY(softplus, (x < 0 ? (real)0 : x) + log1p(exp_minus_abs(x)))
UNARY(relu, x < 0 ? (real)0 : x)
UNARY_WITH(leaky_relu, slope, x > 0 ? x : slope * x)
UNARY_WITH(elu, alpha, x > 0 ? x : alpha * expm1(x))

#define BINARY(name, formula)                                            \
    KERNEL name(const real *G, const real *Y, real *X, long long n) {    \
        FOR_EACH(i, n) {                                                 \
            real g = G[i], y = Y[i];                                     \
            X[i] = (formula);                                            \
        }                                                                \
    }

BINARY(relu_backward, y > 0 ? g : (real)0)
BINARY(sigmoid_backward, g * y * (1 - y))
BINARY(tanh_backward, g * (1 - y * y))

// g where x > 0, else slope·g
KERNEL leaky_relu_backward(const real *G, const real *X, double slope, real *Y, long long n) {
    FOR_EACH(i, n) Y[i] = X[i] > 0 ? G[i] : (real)slope * G[i];
}

// scale·x where kept, else 0
KERNEL masked(const real *X, const bool *kept, double scale, real *Y, long long n) {
    FOR_EACH(i, n) Y[i] = kept[i] ? (real)scale * X[i] : (real)0;
}

// g·(σ(x) - t)
KERNEL bce_with_logits_backward(const real *G, const real *X, const real *T, real *Y, long long n) {
    FOR_EACH(i, n) {
        real x = X[i];
        Y[i] = G[i] * ((x >= 0 ? (real)1 : exp_minus_abs(x)) / (1 + exp_minus_abs(x)) - T[i]);
    }
}

// log(1 + e^x) - t·x; where x > 0 as log(1 + e^-x) + (1 - t)·x, which does not cancel for t = 1
KERNEL bce_with_logits(const real *X, const real *T, real *Y, long long n) {
    FOR_EACH(i, n) {
        real x = X[i], t = T[i];
        Y[i] = log1p(exp_minus_abs(x)) + (x > 0 ? (1 - t) * x : -t * x);
    }
}
