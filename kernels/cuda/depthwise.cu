// Depthwise convolution: a channel of the result comes from the same channel of the image alone.
//
//     depthwise           y[n, i, j, c] = Σ over (a, b)    x[n, i·s + a·d - p, j·s + b·d - p, c] · w[a, b, c]
//     depthwise_input     x[n, h, v, c] = Σ over (a, b)    g[n, (h + p - a·d)/s, (v + p - b·d)/s, c] · w[a, b, c]
//     depthwise_weight    w[a, b, c] = Σ over (n, i, j)    x[n, i·s + a·d - p, j·s + b·d - p, c] · g[n, i, j, c]
//
// In the first two a thread makes WIDE channels of four pixels of a line, and adds the bias unless it is null. In
// depthwise_input the pixels lie a stride apart, so that the same taps meet all four. A weight is read once for them;
// neighbouring threads take neighbouring channels. In the third a thread has WIDE channels of up to nine taps, and goes
// over pixels: each of g is read once for nine taps. What a block's threads found, they add up in shared memory, in
// pairs; what the blocks found, reduce.cu adds up. WIDE is 4 where the channels are a multiple of four and arrays begin
// at 16 bytes, else 1. No atomics.
//
// Operations: 2·KH·KW for an element of y. Bytes: image and result once, for what overlaps comes from the caches: bound
// by memory.

#define PIXELS 4
#define TAPS 9

struct Window {
    int n, h, w, c, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw;
    Divisor by_oh, by_ow;
};

typedef Pack<WIDE> Channels;

static __device__ __forceinline__ Channels read(const real *from, u32 at, bool inside) {
    Channels p = {};
    if (inside) p = *(const Channels *)(from + at);
    return p;
}

static __device__ __forceinline__ void add(Channels &sum, const Channels &a, const Channels &b) {
#pragma unroll
    for (int e = 0; e < WIDE; e++) sum.v[e] += a.v[e] * b.v[e];
}

// Which channels, four pixels and line of an image of `height` lines thread number i has, in a line of `fours` such
struct Place {
    int c, four, n, y;
    __device__ Place(long long i, int channels, int fours, int height) {
        const int packs = channels / WIDE, all = (int)(i / packs), line = all / fours;
        c = (int)(i - (long long)all * packs) * WIDE;
        four = all - line * fours;
        n = line / height;
        y = line - n * height;
    }
};

// One tap: sums[t] += image[at + channels·(x + t·step)] · weight, zero where x + t·step is not in the line
static __device__ __forceinline__ void tap(Channels (&sums)[PIXELS], const real *image, u32 at, int x, int step,
                                           int width, int channels, const Channels &weight) {
    Channels p[PIXELS];
#pragma unroll
    for (int t = 0; t < PIXELS; t++)
        p[t] = read(image, at + (u32)((x + t * step) * channels), (u32)(x + t * step) < (u32)width);
#pragma unroll
    for (int t = 0; t < PIXELS; t++) add(sums[t], p[t], weight);
}

static __device__ __forceinline__ void put(Channels sum, const real *bias, int c, real *to) {
    if (bias)
#pragma unroll
        for (int e = 0; e < WIDE; e++) sum.v[e] += bias[c + e];
    *(Channels *)to = sum;
}

KERNEL depthwise(Window s, int fours, const real *x, const real *w, const real *bias, real *y) {
    const Place p(blockIdx.x * 256LL + threadIdx.x, s.c, fours, s.oh);
    if (p.n >= s.n) return;
    Channels sums[PIXELS] = {};
    for (int a = 0; a < s.kh; a++) {
        const int h = p.y * s.sh - s.ph + a * s.dh, width = (u32)h < (u32)s.h ? s.w : 0;
        const u32 at = (u32)(p.n * s.h + h) * s.w * s.c + p.c;
        for (int b = 0; b < s.kw; b++)
            tap(sums, x, at, p.four * PIXELS * s.sw - s.pw + b * s.dw, s.sw, width, s.c,
                read(w, (u32)(a * s.kw + b) * s.c + p.c, true));
    }
    real *line = y + (u32)(p.n * s.oh + p.y) * s.ow * s.c + p.c;
#pragma unroll
    for (int t = 0; t < PIXELS; t++)
        if (p.four * PIXELS + t < s.ow) put(sums[t], bias, p.c, line + (u32)(p.four * PIXELS + t) * s.c);
}

// Whether d divides n, which is n/d then
static __device__ __forceinline__ bool divided(int &n, int d) {
    if (d == 1) return true;
    const int was = n;
    n /= d;
    return n * d == was;
}

KERNEL depthwise_input(Window s, int fours, const real *g, const real *w, const real *bias, real *x) {
    const Place p(blockIdx.x * 256LL + threadIdx.x, s.c, fours, s.h);
    if (p.n >= s.n) return;
    const int phases = min(s.sw, s.w), first = p.four % phases + p.four / phases * PIXELS * s.sw;
    Channels sums[PIXELS] = {};
    for (int a = 0; a < s.kh; a++) {
        int i = p.y + s.ph - a * s.dh;
        if (!divided(i, s.sh) || (u32)i >= (u32)s.oh) continue;
        const u32 at = (u32)(p.n * s.oh + i) * s.ow * s.c + p.c;
        for (int b = 0; b < s.kw; b++) {
            int j = first + s.pw - b * s.dw;
            if (divided(j, s.sw)) tap(sums, g, at, j, 1, s.ow, s.c, read(w, (u32)(a * s.kw + b) * s.c + p.c, true));
        }
    }
    real *line = x + (u32)(p.n * s.h + p.y) * s.w * s.c + p.c;
#pragma unroll
    for (int t = 0; t < PIXELS; t++)
        if (first + t * s.sw < s.w) put(sums[t], bias, p.c, line + (u32)(first + t * s.sw) * s.c);
}

// parts[q, a, b, c] = the sum over a stretch q of the pixels (n, i, j). `lanes` threads, a power of two, have channels
// of their own; those that have the same ones take the pixels of the stretch in turns.
KERNEL __launch_bounds__(256, 2) depthwise_weight(Window s, int lanes, int stretch, const real *x, const real *g,
                                                  double *parts) {
    __shared__ Channels found[TAPS][256];
    const int t = threadIdx.x, taps = s.kh * s.kw, first = blockIdx.z * TAPS, left = blockIdx.x * lanes * WIDE;
    const int c = left + t % lanes * WIDE, end = min(s.n * s.oh * s.ow, (int)(blockIdx.y + 1) * stretch);
    int down[TAPS], across[TAPS];
#pragma unroll
    for (int k = 0; k < TAPS; k++) {
        const int number = min(first + k, taps - 1), a = number / s.kw;  // those after the last are not written
        down[k] = a * s.dh - s.ph;
        across[k] = (number - a * s.kw) * s.dw - s.pw;
    }
    Channels sums[TAPS] = {};
    if (c < s.c)
        for (int m = blockIdx.y * stretch + t / lanes; m < end; m += 256 / lanes) {
            const int line = quotient(m, s.by_ow), n = quotient(line, s.by_oh);
            const int y = (line - n * s.oh) * s.sh, v = (m - line * s.ow) * s.sw;
            const Channels there = read(g, (u32)m * s.c + c, true);
            Channels p[TAPS];
#pragma unroll
            for (int k = 0; k < TAPS; k++) {
                const int h = y + down[k], w = v + across[k];
                p[k] = read(x, (u32)((n * s.h + h) * s.w + w) * s.c + c, (u32)h < (u32)s.h && (u32)w < (u32)s.w);
            }
#pragma unroll
            for (int k = 0; k < TAPS; k++) add(sums[k], p[k], there);
        }
#pragma unroll
    for (int k = 0; k < TAPS; k++) found[k][t] = sums[k];
    for (int half = 128; half >= lanes; half /= 2) {
        __syncthreads();
        if (t < half)
#pragma unroll
            for (int k = 0; k < TAPS; k++)
#pragma unroll
                for (int e = 0; e < WIDE; e++) found[k][t].v[e] += found[k][t + half].v[e];
    }
    __syncthreads();
    for (int i = t; i < lanes * TAPS; i += 256) {
        const int k = i / lanes, channel = left + i % lanes * WIDE;
        if (first + k < taps && channel < s.c)
#pragma unroll
            for (int e = 0; e < WIDE; e++)
                parts[((long long)blockIdx.y * taps + first + k) * s.c + channel + e] = found[k][i % lanes].v[e];
    }
}
