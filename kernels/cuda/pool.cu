// Pooling, channels last. A thread makes one element of the result by reading its window, or, for a gradient, the
// windows it lies in: it gathers, and nothing is added by two threads to one place. Neighbouring threads take
// neighbouring channels. Each input is read KH·KW/(s·s) times, mostly from cache, each result written once.

struct Window {
    int n, h, w, c, oh, ow, kh, kw, sh, sw, ph, pw;
};

struct Place { int image, y, x, channel; };

static __device__ __forceinline__ Place place(int i, int height, int width, int channels) {
    int pixel = i / channels;
    return {pixel / width / height, pixel / width % height, pixel % width, i % channels};
}

// Each pixel of the window of y's element at `p`, as the index `at` into x
#define EACH_PIXEL(at)                                                                                   \
    for (int h = max(0, p.y * s.sh - s.ph); h < min(s.h, p.y * s.sh - s.ph + s.kh); h++)                  \
        for (int w = max(0, p.x * s.sw - s.pw), at = ((p.image * s.h + h) * s.w + w) * s.c + p.channel;   \
             w < min(s.w, p.x * s.sw - s.pw + s.kw); w++, at += s.c)

// Each window that x's pixel at `p` lies in, as the index `at` into y
#define EACH_WINDOW(at)                                                                                       \
    for (int v = first(p.y + s.ph, s.kh, s.sh); v <= min((p.y + s.ph) / s.sh, s.oh - 1); v++)                 \
        for (int w = first(p.x + s.pw, s.kw, s.sw), at = ((p.image * s.oh + v) * s.ow + w) * s.c + p.channel; \
             w <= min((p.x + s.pw) / s.sw, s.ow - 1); w++, at += s.c)

static __device__ __forceinline__ int first(int at, int size, int stride) {  // window that reaches `at`
    return at < size ? 0 : (at - size + stride) / stride;
}

#define OUTPUT(i) FOR_EACH(i, (long long)s.n * s.oh * s.ow * s.c)
#define INPUT(i) FOR_EACH(i, (long long)s.n * s.h * s.w * s.c)

// y = max over the window; NaN if one is
KERNEL max_pool(Window s, const real *x, real *y) {
    OUTPUT(i) {
        Place p = place((int)i, s.oh, s.ow, s.c);
        real m = -INF;
        EACH_PIXEL(at) m = x[at] > m || x[at] != x[at] ? x[at] : m;
        y[i] = m;
    }
}

// How many pixels of the window share its maximum; NaN where that is
static __device__ __forceinline__ real ties(const Window &s, const real *x, Place p, real y) {
    real count = y == y ? (real)0 : y;
    EACH_PIXEL(at) count += !(x[at] < y);
    return count;
}

// share = g / ties: what each of them gets
KERNEL max_pool_share(Window s, const real *g, const real *x, const real *y, real *share) {
    OUTPUT(i) share[i] = g[i] / ties(s, x, place((int)i, s.oh, s.ow, s.c), y[i]);
}

// gx = Σ share over the windows whose maximum x is
KERNEL max_pool_input(Window s, const real *share, const real *x, const real *y, real *gx) {
    INPUT(i) {
        Place p = place((int)i, s.h, s.w, s.c);
        real sum = 0;
        EACH_WINDOW(at) sum += x[i] < y[at] ? (real)0 : share[at];
        gx[i] = sum;
    }
}

// the mean of v over the ties
KERNEL max_pool_gather(Window s, const real *v, const real *x, const real *y, real *gy) {
    OUTPUT(i) {
        Place p = place((int)i, s.oh, s.ow, s.c);
        real sum = 0;
        EACH_PIXEL(at) sum += x[at] < y[i] ? (real)0 : v[at];
        gy[i] = sum / ties(s, x, p, y[i]);
    }
}

// y = Σ over the window
KERNEL sum_pool(Window s, const real *x, real *y) {
    OUTPUT(i) {
        Place p = place((int)i, s.oh, s.ow, s.c);
        real sum = 0;
        EACH_PIXEL(at) sum += x[at];
        y[i] = sum;
    }
}

// gx = Σ g over the windows
KERNEL sum_pool_input(Window s, const real *g, real *gx) {
    INPUT(i) {
        Place p = place((int)i, s.h, s.w, s.c);
        real sum = 0;
        EACH_WINDOW(at) sum += g[at];
        gx[i] = sum;
    }
}
