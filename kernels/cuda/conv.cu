// The three faces of convolution as one tiled matrix product that never writes its matrices down (implicit GEMM):
//
//     conv          rows (n, i, j) of y    columns o    sum over (a, b, c)    x[n, i·s + a·d - p, j·s + b·d - p, c] · w
//     conv_input    rows (n, h, w) of x    columns c    sum over (a, b, o)    g[n, (h + p - a·d)/s, ..., o] · w
//     conv_weight   rows (a, b, c)         columns o    sum over (n, i, j)    x[n, i·s + a·d - p, ..., c] · g
//
// The left operand is gathered from an image with zeros for the padding, the right one is a matrix. A block of 256
// threads makes a tile of ROWS × COLUMNS elements, DEPTH terms of the sum at a time: both operands' parts go to shared
// memory while the next ones are on their way to registers. A thread makes RM × RN elements, in groups of four rows and
// four columns, so that it reads shared memory by 16 bytes: 8 × 8 in tiles of 128 × 128 and 256 × 64, fewer where the
// result is small or narrow. With TF32 a warp makes ROWS/4 × COLUMNS/2 of them by tensor cores.
//
// LEFT and RIGHT, 4 or 1, are how many elements of an operand a thread fetches at once, which lie next to each other in
// a group's channels where those are a multiple of four. For 8 terms of 128 × 128 a thread then does 512 products, 32
// reads of 16 bytes from shared memory, 2 from global memory, and 2 to 8 writes.
//
// The first two add a bias to each column, unless it is null, when they write.
//
// Operations: 2 · rows · columns · terms. Bytes: each image element is read KH·KW/(s·s) times, mostly from the L2, and
// each weight once for ROWS rows; the result is written once. conv_input works on the s·s phases of x one by one, in
// each of which the same taps meet a pixel of g: none is multiplied that stride leaves out. Where tiles are too few to
// keep the processors busy, sums are split into stretches, whose results `add_parts` adds up, in order.
// No atomics: equal inputs give equal bits.

#define RN (ROWS * COLUMNS == 128 * 128 ? 8 : 4)
#define RM (ROWS * COLUMNS / 256 / RN)
#ifdef TF32
#define DEPTH 16
#else
#define DEPTH (RM * RN == 64 ? 8 : 16)  // then nothing is spilled
#endif

struct Geometry {
    int n, h, w, c, oh, ow, o, kh, kw, sh, sw, ph, pw, dh, dw, groups, parts, stretch, cg, og;
    Divisor by_oh, by_ow, by_kw, by_cg, by_og;
};

// A place in an image, which may lie outside, or an offset of places: of a row and a term of the left operand one is a
// place, the other an offset. `at` numbers elements, and wraps around below 0.
struct __align__(16) Place { int y, x; u32 at; };

static __device__ Divisor divisor(u32 d) {
    u32 shift = 0;
    while (1u << shift < d) shift++;
    return {(u32)(((u64)((1u << shift) - d) << 32) / d + 1), shift};
}

// What the three have in common; each says what `row`, `term`, `line`, `column` and `out` are.
struct Product {
    Geometry s;
    const real *image, *matrix, *bias;
    real *result;
    int group, rows, columns, first, last;

    __device__ Place corner(int m) const {  // of the window that y's pixel m looks at
        int line = quotient(m, s.by_ow), n = quotient(line, s.by_oh);
        int y = (line - n * s.oh) * s.sh - s.ph, x = (m - line * s.ow) * s.sw - s.pw;
        return {y, x, (u32)((n * s.h + y) * s.w + x) * s.c + group * s.cg};
    }
    __device__ Place tap(int k) const {  // number k of (a, b, c)
        int ab = quotient(k, s.by_cg), a = quotient(ab, s.by_kw), y = a * s.dh, x = (ab - a * s.kw) * s.dw;
        return {y, x, (u32)(y * s.w + x) * s.c + k - ab * s.cg};
    }
    __device__ u32 line(int k) const { return (u32)k * s.o; }
    __device__ u32 column(int c) const { return group * columns + c; }
    __device__ u32 out(int m) const { return (u32)m * s.o + group * columns; }
    __device__ bool inside(Place p, Place q) const {
        return (u32)(p.y + q.y) < (u32)s.h && (u32)(p.x + q.x) < (u32)s.w;
    }
};

struct Conv : Product {
    static const bool LEFT_ALONG_TERMS = true, RIGHT_ALONG_TERMS = false;  // which index neighbouring addresses belong to
    __device__ Place row(int m) const { return corner(m); }
    __device__ Place term(int k) const { return tap(k); }
};

// One of the s·s sets of pixels of x whose taps are the same: its first pixel and size, the taps, which are a0,
// a0 + step_a, .., and the lines of g that they lead to from the first pixel: i0, i0 - step_i, ..
struct Phase {
    int y, x, height, width, a0, b0, step_a, step_b, i0, j0, step_i, step_j, taps, rows, last;
    Divisor by_taps;
    real *result;
};

struct ConvInput : Product {
    static const bool LEFT_ALONG_TERMS = true, RIGHT_ALONG_TERMS = true;
    const Phase &phase;
    const int &rows = phase.rows, &last = phase.last;  // in shared memory these take no registers
    real *const &result = phase.result;

    __device__ Place row(int m) const {
        int line = m / phase.width, n = line / phase.height, y = line - n * phase.height, x = m - line * phase.width;
        return {y, x, (u32)((n * s.oh + y) * s.ow + x) * s.o + group * s.og};
    }
    __device__ Place term(int k) const {
        int t = quotient(k, s.by_og), a = quotient(t, phase.by_taps), b = t - a * phase.taps;
        int y = phase.i0 - a * phase.step_i, x = phase.j0 - b * phase.step_j;
        return {y, x, (u32)(y * s.ow + x) * s.o + k - t * s.og};
    }
    __device__ bool inside(Place p, Place q) const {
        return (u32)(p.y + q.y) < (u32)s.oh && (u32)(p.x + q.x) < (u32)s.ow;
    }
    __device__ u32 line(int k) const {
        int t = quotient(k, s.by_og), a = quotient(t, phase.by_taps), b = t - a * phase.taps;
        u32 tap = (phase.a0 + a * phase.step_a) * s.kw + phase.b0 + b * phase.step_b;
        return tap * columns * s.o + k - t * s.og;
    }
    __device__ u32 column(int c) const { return (u32)c * s.o + group * s.og; }
    __device__ u32 out(int m) const {
        int line = m / phase.width, n = line / phase.height, y = line - n * phase.height, x = m - line * phase.width;
        return (u32)((n * s.h + y * s.sh + phase.y) * s.w + x * s.sw + phase.x) * s.c + group * columns;
    }
};

struct ConvWeight : Product {
    static const bool LEFT_ALONG_TERMS = false, RIGHT_ALONG_TERMS = false;
    __device__ Place row(int m) const { return tap(m); }
    __device__ Place term(int k) const { return corner(k); }
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

// What thread t brings of an operand's SIZE rows (or columns) by DEPTH terms: for each q < Q, V of them at once from
// row m(t, q) and term k(t, q) on. A warp reads neighbouring addresses: the terms' where V of those lie in a row.
template <int SIZE, int V, bool ALONG_TERMS>
struct Part {
    static const bool TURNED = ALONG_TERMS && V > 1;
    static const int COUNT = SIZE * DEPTH / V, Q = (COUNT + 255) / 256, PER_LINE = TURNED ? DEPTH / V : SIZE / V;
    static const int ROWS_OF = TURNED ? Q : 1, TERMS_OF = TURNED ? 1 : Q;  // how many different rows and terms that are
    static __device__ bool some(int t) { return COUNT >= 256 || t < COUNT; }
    static __device__ int m(int t, int q) { return TURNED ? t / PER_LINE + q * (256 / PER_LINE) : t % PER_LINE * V; }
    static __device__ int k(int t, int q) { return TURNED ? t % PER_LINE * V : t / PER_LINE + q * (256 / PER_LINE); }
    static __device__ int last(int count) { return TURNED ? count - 1 : count - V; }  // what may be read of `count`

    // Where a term's elements are in shared memory: groups of eight or 16 change places, so that the lanes that write
    // different terms of neighbouring rows, or read them as a fragment of TF32's, meet 32 different banks.
    static __device__ int swap(int k) {
#ifdef TF32
        return (k + k / 4) % 4 * 8 % SIZE;
#else
        return TURNED ? k / 4 * (128 / DEPTH) % SIZE : 0;
#endif
    }
    static __device__ int at(int k, int m) { return k * SIZE + (m ^ swap(k)); }
    static __device__ void keep(real *to, int t, int q, const Pack<V> &p) {
        if (TURNED)
#pragma unroll
            for (int e = 0; e < V; e++) to[at(k(t, q) + e, m(t, q))] = stored(p.v[e]);
        else {
            Pack<V> rounded;
#pragma unroll
            for (int e = 0; e < V; e++) rounded.v[e] = stored(p.v[e]);
            *(Pack<V> *)&to[at(k(t, q), m(t, q))] = rounded;
        }
    }
};

template <int V>
static __device__ __forceinline__ Pack<V> fetched(const real *from, u32 at, bool inside) {
    Pack<V> p = {};
    if (inside) p = *(const Pack<V> *)(from + at);
    return p;
}

// N elements of a result's row m from column c on, in vectors where rows begin at one.
template <int N, class Op>
static __device__ __forceinline__ void put(const Op &op, int m, int c, Pack<N> p) {
    if (m >= op.rows || c >= op.columns) return;
    if (op.bias)
#pragma unroll
        for (int e = 0; e < N; e++)
            if (c + e < op.columns) p.v[e] += op.bias[op.group * op.columns + c + e];
    real *to = op.result + op.out(m) + c;
    if (op.columns % N == 0) *(Pack<N> *)to = p;
    else
#pragma unroll
        for (int e = 0; e < N; e++)
            if (c + e < op.columns) to[e] = p.v[e];
}

template <class Op>
static __device__ __forceinline__ void product(const Op &op) {
    typedef Part<ROWS, LEFT, Op::LEFT_ALONG_TERMS> L;
    typedef Part<COLUMNS, RIGHT, Op::RIGHT_ALONG_TERMS> R;
    __shared__ __align__(16) real A[2 * DEPTH * ROWS], B[2 * DEPTH * COLUMNS];
    const int t = threadIdx.x, top = blockIdx.x * ROWS, left = blockIdx.y * COLUMNS;
    if (top >= op.rows) return;  // all of the block: the phases of conv_input differ in size

    // Rows and columns after the last are read as the last, and not written.
    __shared__ Place row[ROWS];
    u32 column[R::ROWS_OF];
    if (t < ROWS) row[t] = op.row(min(top + t, L::last(op.rows)));
    __syncthreads();
#pragma unroll
    for (int q = 0; q < R::ROWS_OF; q++) column[q] = op.column(min(left + R::m(t, q), R::last(op.columns)));
    Pack<LEFT> a[L::Q];
    Pack<RIGHT> b[R::Q];

    auto bring = [&](int from) {  // both operands' parts for the terms from `from` on, to registers
        Place term[L::TERMS_OF];
#pragma unroll
        for (int q = 0; q < L::TERMS_OF; q++) term[q] = op.term(from + L::k(t, q));
#pragma unroll
        for (int q = 0; q < L::Q; q++) {
            Place r = row[L::m(t, q)], p = term[L::TURNED ? 0 : q];
            a[q] = fetched<LEFT>(op.image, r.at + p.at, from + L::k(t, q) < op.last && op.inside(r, p));
        }
        u32 line[R::TERMS_OF];
#pragma unroll
        for (int q = 0; q < R::TERMS_OF; q++) line[q] = op.line(from + R::k(t, q));
#pragma unroll
        for (int q = 0; q < R::Q; q++)
            b[q] = fetched<RIGHT>(op.matrix, column[R::TURNED ? q : 0] + line[R::TURNED ? 0 : q],
                                  from + R::k(t, q) < op.last && R::some(t));
    };
    auto keep = [&](int buffer) {  // from registers to shared memory
#pragma unroll
        for (int q = 0; q < L::Q; q++) L::keep(A + buffer * DEPTH * ROWS, t, q, a[q]);
        if (R::some(t))
#pragma unroll
            for (int q = 0; q < R::Q; q++) R::keep(B + buffer * DEPTH * COLUMNS, t, q, b[q]);
    };

#ifdef TF32
    const int lane = t % 32, g = lane / 4, h = lane % 4, warp_m = t / 32 % 4 * (ROWS / 4), warp_n = t / 128 * (COLUMNS / 2);
    float sums[ROWS / 64][COLUMNS / 16][4] = {};
#else
    // A lane's bits are its column's and its row's in turn: then the threads of half a warp read four groups of four
    // rows or columns, each group by neighbours, and one go serves them.
    const int TX = COLUMNS / RN, TY = 256 / TX, U = RM < 4 ? RM : 4, V = 4, WARPS = TX < 8 ? 1 : TX / 8;
    const int low_x = t % 2 + t / 4 % 2 * 2, low_y = t / 2 % 2 + t / 8 % 2 * 2, high = t / 16 % 2 * 4;
    const int tx = TX == 1 ? 0 : TX == 4 ? low_x : t / 32 % WARPS * 8 + low_x + high;
    const int ty = TX == 1 ? t : TX == 4 ? t / 32 * 8 + low_y + high : t / 32 / WARPS * 4 + low_y;
    const int a_at = ty * U, b_at = tx * V;
    real sums[RM][RN] = {};
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
            u32 fa[ROWS / 64][4], fb[2];
#pragma unroll
            for (int i = 0; i < ROWS / 64; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    fa[i][e] = __float_as_uint(A[buffer * DEPTH * ROWS + L::at(k + h + e / 2 * 4, warp_m + 16 * i + g + e % 2 * 8)]);
#pragma unroll
            for (int j = 0; j < COLUMNS / 16; j++) {
                fb[0] = __float_as_uint(B[buffer * DEPTH * COLUMNS + R::at(k + h, warp_n + 8 * j + g)]);
                fb[1] = __float_as_uint(B[buffer * DEPTH * COLUMNS + R::at(k + h + 4, warp_n + 8 * j + g)]);
#pragma unroll
                for (int i = 0; i < ROWS / 64; i++) mma_tf32(sums[i][j], fa[i], fb);
            }
        }
#else
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            Pack<U> u[RM / U];
            Pack<V> v[RN / V];
#pragma unroll
            for (int r = 0; r < RM / U; r++)
                u[r] = *(const Pack<U> *)&A[(a_at + buffer * DEPTH * ROWS ^ L::swap(k)) + k * ROWS + r * (TY * U)];
#pragma unroll
            for (int c = 0; c < RN / V; c++)
                v[c] = *(const Pack<V> *)&B[(b_at + buffer * DEPTH * COLUMNS ^ R::swap(k)) + k * COLUMNS + c * (TX * V)];
#pragma unroll
            for (int r = 0; r < RM; r++)
#pragma unroll
                for (int c = 0; c < RN; c++) sums[r][c] += u[r / U].v[r % U] * v[c / V].v[c % V];
        }
#endif
        if (from + DEPTH < op.last) keep(buffer ^ 1);  // read last before the barrier of the turn before
        __syncthreads();
    }
#ifdef TF32
#pragma unroll
    for (int i = 0; i < ROWS / 64; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 16; j++)
#pragma unroll
            for (int e = 0; e < 4; e += 2)
                put<2>(op, top + warp_m + 16 * i + g + e / 2 * 8, left + warp_n + 8 * j + 2 * h,
                       {sums[i][j][e], sums[i][j][e + 1]});
#else
#pragma unroll
    for (int r = 0; r < RM; r++)
#pragma unroll
        for (int c = 0; c < RN; c += V) {
            Pack<V> p;
#pragma unroll
            for (int e = 0; e < V; e++) p.v[e] = sums[r][c + e];
            put(op, top + r / U * (TY * U) + ty * U + r % U, left + c / V * (TX * V) + tx * V, p);
        }
#endif
}

#ifdef CONV
KERNEL __launch_bounds__(256, 2) conv(Geometry s, const real *x, const real *w, const real *bias, real *y) {
    const int part = blockIdx.z / s.groups, terms = s.kh * s.kw * s.cg, rows = s.n * s.oh * s.ow;
    Conv op = {s, x, w, bias, y + (long long)part * rows * s.o, (int)blockIdx.z % s.groups, rows, s.og,
               part * s.stretch, min(terms, (part + 1) * s.stretch)};
    product(op);
}
#endif

// The taps a with (phase + padding - a·d) divisible by s: a0, a0 + step, ..; their number.
static __device__ int taps_of(int phase, int padding, int kernel, int dilation, int stride, int *first, int *step) {
    int count = 0;
    *first = 0;
    *step = 1;
    for (int a = 0; a < kernel; a++)
        if ((phase + padding - a * dilation) % stride == 0) {
            if (count == 0) *first = a;
            if (count == 1) *step = a - *first;
            count++;
        }
    return count;
}

#ifdef CONV_INPUT
KERNEL __launch_bounds__(256, 2) conv_input(Geometry s, const real *g, const real *w, const real *bias, real *x) {
    __shared__ Phase p;
    const int phases = s.sh * s.sw, number = blockIdx.z / s.groups % phases, part = blockIdx.z / s.groups / phases;
    if (threadIdx.x == 0) {
        p.y = number / s.sw;
        p.x = number % s.sw;
        p.height = (s.h - p.y + s.sh - 1) / s.sh;  // at least 0: a phase has a first pixel, or h < s.sh
        p.width = (s.w - p.x + s.sw - 1) / s.sw;
        const int taps = taps_of(p.y, s.ph, s.kh, s.dh, s.sh, &p.a0, &p.step_a);
        p.taps = taps_of(p.x, s.pw, s.kw, s.dw, s.sw, &p.b0, &p.step_b);
        p.by_taps = divisor(max(1, p.taps));
        p.i0 = (p.y + s.ph - p.a0 * s.dh) / s.sh;
        p.j0 = (p.x + s.pw - p.b0 * s.dw) / s.sw;
        p.step_i = p.step_a * s.dh / s.sh;
        p.step_j = p.step_b * s.dw / s.sw;
        p.rows = s.n * p.height * p.width;
        p.last = min(taps * p.taps * s.og, (part + 1) * s.stretch);
        p.result = x + (long long)part * s.n * s.h * s.w * s.c;
    }
    __syncthreads();
    const Product common = {s, g, w, bias, nullptr, (int)blockIdx.z % s.groups, 0, s.cg, part * s.stretch};
    product(ConvInput{common, p});
}
#endif

#ifdef CONV_WEIGHT
KERNEL __launch_bounds__(256, 2) conv_weight(Geometry s, const real *x, const real *g, real *w) {
    const int part = blockIdx.z / s.groups, rows = s.kh * s.kw * s.cg;
    ConvWeight op = {s, x, g, nullptr, w + (long long)part * rows * s.o, (int)blockIdx.z % s.groups, rows,
                     s.og, part * s.stretch, min(s.n * s.oh * s.ow, (part + 1) * s.stretch)};
    product(op);
}
#endif

// y[i] = Σ_p parts[p, i], p from 0 on, and the bias of the column. A thread has one i, and 16 reads in flight: weights of
// first layers have few elements, and some 200 parts.
KERNEL add_parts(const real *parts, const real *bias, real *y, int count, int columns, long long n) {
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n) return;
    real sum = 0;
#pragma unroll 16
    for (int p = 0; p < count; p++) sum += parts[p * n + i];
    y[i] = bias ? sum + bias[i % columns] : sum;
}
