// The three faces of convolution as one tiled matrix product that never writes its matrices down (implicit GEMM):
//
//     conv          rows (n, i, j) of y    columns o    sum over (a, b, c)    x[n, i·s + a·d - p, j·s + b·d - p, c] · w
//     conv_input    rows (n, h, w) of x    columns c    sum over (a, b, o)    g[n, (h + p - a·d)/s, ..., o] · w
//     conv_weight   rows (a, b, c)         columns o    sum over (n, i, j)    x[n, i·s + a·d - p, ..., c] · g
//
// A block of 256 threads makes a tile of TILE × TILE elements, DEPTH terms of the sum at a time: both operands' parts
// go to shared memory, gathered from the images with zeros for the padding, while the next parts are on their way to
// registers. In float32 and float64 a thread makes (TILE/16)² elements, in groups of four rows and four columns, so
// that it reads shared memory by 16 bytes. With TF32 a warp makes TILE/4 × TILE/2 of them by tensor cores.
//
// The first two add a bias to each column, unless it is null, when they write.
//
// Operations: 2 · rows · columns · terms. Bytes: each image element is read KH·KW/(s·s) times, mostly from the L2, and
// each weight once for TILE rows; the result is written once. conv_input works on the s·s phases of x one by one, in
// each of which the same taps meet a pixel of g: none is multiplied that stride leaves out. conv_weight has few rows
// and columns and a long sum, which is split into stretches: their results are added up by `add_parts`, in order.
// No atomics: equal inputs give equal bits.

#define DEPTH 16
#define PAD 8  // then the lanes of a warp that read a fragment meet 32 different banks
#define Q (TILE * DEPTH / 256)  // elements of an operand's part that a thread brings

struct Geometry {
    int n, h, w, c, oh, ow, o, kh, kw, sh, sw, ph, pw, dh, dw, groups, parts, stretch;
};

struct Pixel { int image, y, x; };    // number of an image, and a place in it, which may lie outside
struct Tap { int y, x, channel; };    // offset in pixels, and a channel of the group

static __device__ __forceinline__ Pixel corner(const Geometry &s, int m) {  // of the window that y's pixel m looks at
    int j = m % s.ow, i = m / s.ow % s.oh;
    return {m / s.ow / s.oh, i * s.sh - s.ph, j * s.sw - s.pw};
}

static __device__ __forceinline__ Tap tap(const Geometry &s, int k) {  // number k of (a, b, c)
    int cg = s.c / s.groups, ab = k / cg;
    return {ab / s.kw * s.dh, ab % s.kw * s.dw, k % cg};
}

static __device__ __forceinline__ real look(const Geometry &s, const real *x, int group, Pixel p, Tap t) {
    int y = p.y + t.y, z = p.x + t.x;
    if (y < 0 || y >= s.h || z < 0 || z >= s.w) return 0;
    return x[(((long long)p.image * s.h + y) * s.w + z) * s.c + group * (s.c / s.groups) + t.channel];
}

struct Conv {
    typedef Pixel Row;
    typedef Tap Term;
    static const bool A_ALONG_K = true, B_ALONG_K = false;  // which index neighbouring addresses belong to
    Geometry s;
    const real *x, *w, *bias;
    real *y;
    int group, rows, columns, first, last;

    __device__ Row row(int m) const { return corner(s, m); }
    __device__ Term term(int k) const { return tap(s, k); }
    __device__ real a(Row p, Term t) const { return look(s, x, group, p, t); }
    __device__ real b(int k, Term, int column) const { return w[(long long)k * s.o + group * columns + column]; }
    __device__ void put(int m, int column, real v) {
        const int o = group * columns + column;
        y[(long long)m * s.o + o] = bias ? v + bias[o] : v;
    }
};

struct ConvInput {
    typedef Pixel Row;
    struct Term { int a, b, i, j, o; };  // the tap, where it leads from the phase's pixel (0, 0), and a channel of g
    static const bool A_ALONG_K = true, B_ALONG_K = true;
    Geometry s;
    const real *g, *w, *bias;
    real *x;
    int group, rows, columns, first, last;
    int phase_y, phase_x, height, width, a0, b0, step_a, step_b, taps_b;

    __device__ Row row(int m) const { return {m / width / height, m / width % height, m % width}; }
    __device__ Term term(int k) const {
        int og = s.o / s.groups, t = k / og, a = a0 + t / taps_b * step_a, b = b0 + t % taps_b * step_b;
        return {a, b, (phase_y + s.ph - a * s.dh) / s.sh, (phase_x + s.pw - b * s.dw) / s.sw, k % og};
    }
    __device__ real a(Row p, Term t) const {
        int i = p.y + t.i, j = p.x + t.j;
        if (i < 0 || i >= s.oh || j < 0 || j >= s.ow) return 0;
        return g[(((long long)p.image * s.oh + i) * s.ow + j) * s.o + group * (s.o / s.groups) + t.o];
    }
    __device__ real b(int, Term t, int column) const {
        return w[((long long)(t.a * s.kw + t.b) * columns + column) * s.o + group * (s.o / s.groups) + t.o];
    }
    __device__ void put(int m, int column, real v) {
        Row p = row(m);
        long long y = p.y * s.sh + phase_y, z = p.x * s.sw + phase_x;
        const int c = group * columns + column;
        x[((p.image * (long long)s.h + y) * s.w + z) * s.c + c] = bias ? v + bias[c] : v;
    }
};

struct ConvWeight {
    typedef Tap Row;
    typedef Pixel Term;
    static const bool A_ALONG_K = false, B_ALONG_K = false;
    Geometry s;
    const real *x, *g;
    real *w;
    int group, rows, columns, first, last;

    __device__ Row row(int m) const { return tap(s, m); }
    __device__ Term term(int k) const { return corner(s, k); }
    __device__ real a(Row t, Term p) const { return look(s, x, group, p, t); }
    __device__ real b(int k, Term, int column) const { return g[(long long)k * s.o + group * columns + column]; }
    __device__ void put(int m, int column, real v) { w[(long long)m * s.o + group * columns + column] = v; }
};

#if defined(TF32) && defined(__CUDACC__)  // else tests/cuda/emulator.h, where these are functions too
// float -> the nearest number with TF32's ten bits of fraction (ties away from zero), as float's bits
static __device__ __forceinline__ u32 to_tf32(float x) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// c (16, 8) += a (16, 8) · b (8, 8) by a warp. Lane 4·g + t holds a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4);
// b: (t, g), (t + 4, g); c: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1). PTX ISA, mma.m16n8k8.
static __device__ __forceinline__ void mma_tf32(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

static __device__ __forceinline__ real stored(real v) {
#ifdef TF32
    return __uint_as_float(to_tf32(v));
#else
    return v;
#endif
}

template <class Op>
static __device__ __forceinline__ void product(Op &op) {
    __shared__ __align__(16) real A[2][DEPTH][TILE + PAD], B[2][DEPTH][TILE + PAD];
    const int t = threadIdx.x, top = blockIdx.x * TILE, left = blockIdx.y * TILE;
    if (top >= op.rows) return;  // all of the block: the phases of conv_input differ in size
    // Element q of a part is (k, m) = (t % DEPTH, t / DEPTH + q·256/DEPTH), or else (t / TILE + q·256/TILE, t % TILE).
    typename Op::Row row[Op::A_ALONG_K ? Q : 1];
#pragma unroll
    for (int q = 0; q < (Op::A_ALONG_K ? Q : 1); q++)
        row[q] = op.row(min(top + (Op::A_ALONG_K ? t / DEPTH + q * (256 / DEPTH) : t % TILE), op.rows - 1));
    real a[Q], b[Q];

    auto bring = [&](int from) {  // both operands' parts for the terms from `from` on, to registers
        typename Op::Term along = op.term(min(from + t % DEPTH, op.last - 1));
#pragma unroll
        for (int q = 0; q < Q; q++) {
            int k = from + (Op::A_ALONG_K ? t % DEPTH : t / TILE + q * (256 / TILE));
            int m = top + (Op::A_ALONG_K ? t / DEPTH + q * (256 / DEPTH) : t % TILE);
            bool inside = k < op.last && m < op.rows;
            a[q] = !inside ? (real)0 : Op::A_ALONG_K ? op.a(row[Op::A_ALONG_K ? q : 0], along) : op.a(row[0], op.term(k));
            k = from + (Op::B_ALONG_K ? t % DEPTH : t / TILE + q * (256 / TILE));
            int column = left + (Op::B_ALONG_K ? t / DEPTH + q * (256 / DEPTH) : t % TILE);
            b[q] = k < op.last && column < op.columns ? op.b(k, along, column) : (real)0;
        }
    };
    auto keep = [&](int buffer) {  // from registers to shared memory
#pragma unroll
        for (int q = 0; q < Q; q++) {
            if (Op::A_ALONG_K) A[buffer][t % DEPTH][t / DEPTH + q * (256 / DEPTH)] = stored(a[q]);
            else A[buffer][t / TILE + q * (256 / TILE)][t % TILE] = stored(a[q]);
            if (Op::B_ALONG_K) B[buffer][t % DEPTH][t / DEPTH + q * (256 / DEPTH)] = stored(b[q]);
            else B[buffer][t / TILE + q * (256 / TILE)][t % TILE] = stored(b[q]);
        }
    };

#ifdef TF32
    const int lane = t % 32, g = lane / 4, h = lane % 4, warp_m = t / 32 % 4 * (TILE / 4), warp_n = t / 128 * (TILE / 2);
    float sums[TILE / 64][TILE / 16][4] = {};
#else
    const int ty = t / 16, tx = t % 16;
    real sums[TILE / 16][TILE / 16] = {};
#endif
    if (op.first < op.last) {
        bring(op.first);
        keep(0);
    }
    __syncthreads();
    for (int from = op.first, buffer = 0; from < op.last; from += DEPTH, buffer ^= 1) {
        if (from + DEPTH < op.last) bring(from + DEPTH);
#ifdef TF32
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            u32 fa[TILE / 64][4], fb[2];
#pragma unroll
            for (int i = 0; i < TILE / 64; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    fa[i][e] = __float_as_uint(A[buffer][k + h + e / 2 * 4][warp_m + 16 * i + g + e % 2 * 8]);
#pragma unroll
            for (int j = 0; j < TILE / 16; j++) {
                fb[0] = __float_as_uint(B[buffer][k + h][warp_n + 8 * j + g]);
                fb[1] = __float_as_uint(B[buffer][k + h + 4][warp_n + 8 * j + g]);
#pragma unroll
                for (int i = 0; i < TILE / 64; i++) mma_tf32(sums[i][j], fa[i], fb);
            }
        }
#else
#pragma unroll 4
        for (int k = 0; k < DEPTH; k++) {
            real u[TILE / 16], v[TILE / 16];
#pragma unroll
            for (int r = 0; r < TILE / 16; r++) {  // four in a row, then the next 64
                u[r] = A[buffer][k][r / 4 * 64 + ty * 4 + r % 4];
                v[r] = B[buffer][k][r / 4 * 64 + tx * 4 + r % 4];
            }
#pragma unroll
            for (int r = 0; r < TILE / 16; r++)
#pragma unroll
                for (int c = 0; c < TILE / 16; c++) sums[r][c] += u[r] * v[c];
        }
#endif
        if (from + DEPTH < op.last) keep(buffer ^ 1);  // read last before the barrier of the turn before
        __syncthreads();
    }
#ifdef TF32
#pragma unroll
    for (int i = 0; i < TILE / 64; i++)
#pragma unroll
        for (int j = 0; j < TILE / 16; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int m = top + warp_m + 16 * i + g + e / 2 * 8, column = left + warp_n + 8 * j + 2 * h + e % 2;
                if (m < op.rows && column < op.columns) op.put(m, column, sums[i][j][e]);
            }
#else
#pragma unroll
    for (int r = 0; r < TILE / 16; r++)
#pragma unroll
        for (int c = 0; c < TILE / 16; c++) {
            int m = top + r / 4 * 64 + ty * 4 + r % 4, column = left + c / 4 * 64 + tx * 4 + c % 4;
            if (m < op.rows && column < op.columns) op.put(m, column, sums[r][c]);
        }
#endif
}

KERNEL __launch_bounds__(256, 2) conv(Geometry s, const real *x, const real *w, const real *bias, real *y) {
    Conv op = {s, x, w, bias, y, (int)blockIdx.z, s.n * s.oh * s.ow, s.o / s.groups, 0, s.kh * s.kw * (s.c / s.groups)};
    product(op);
}

// The taps a with (phase + padding - a·d) divisible by s: a0, a0 + step, ..; their number.
static __device__ int taps_of(int phase, int padding, int kernel, int dilation, int stride, int *first, int *step) {
    int count = 0;
    *step = 1;
    for (int a = 0; a < kernel; a++)
        if ((phase + padding - a * dilation) % stride == 0) {
            if (count == 0) *first = a;
            if (count == 1) *step = a - *first;
            count++;
        }
    return count;
}

KERNEL __launch_bounds__(256, 2) conv_input(Geometry s, const real *g, const real *w, const real *bias,
                                                  real *x) {
    ConvInput op = {s, g, w, bias, x};
    int phase = blockIdx.z / s.groups;
    op.group = blockIdx.z % s.groups;
    op.phase_y = phase / s.sw;
    op.phase_x = phase % s.sw;
    op.height = (s.h - op.phase_y + s.sh - 1) / s.sh;  // at least 0: a phase has a first pixel, or h < s.sh
    op.width = (s.w - op.phase_x + s.sw - 1) / s.sw;
    op.rows = s.n * op.height * op.width;
    op.columns = s.c / s.groups;
    op.a0 = op.b0 = 0;
    int taps_a = taps_of(op.phase_y, s.ph, s.kh, s.dh, s.sh, &op.a0, &op.step_a);
    op.taps_b = taps_of(op.phase_x, s.pw, s.kw, s.dw, s.sw, &op.b0, &op.step_b);
    op.first = 0;
    op.last = taps_a * op.taps_b * (s.o / s.groups);
    product(op);
}

KERNEL __launch_bounds__(256, 2) conv_weight(Geometry s, const real *x, const real *g, real *parts) {
    int part = blockIdx.z / s.groups, rows = s.kh * s.kw * (s.c / s.groups);
    ConvWeight op = {s, x, g, parts + (long long)part * rows * s.o, (int)blockIdx.z % s.groups, rows, s.o / s.groups,
                     part * s.stretch, min(s.n * s.oh * s.ow, (part + 1) * s.stretch)};
    product(op);
}

// w[i] = Σ_p parts[p, i], p from 0 on
KERNEL add_parts(const real *parts, real *w, int count, long long n) {
    FOR_EACH(i, n) {
        real sum = 0;
        for (int p = 0; p < count; p++) sum += parts[p * n + i];
        w[i] = sum;
    }
}
