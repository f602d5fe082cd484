// CUDA C as C++: a block's threads are fibers of one thread, which take turns at barriers. Slow, and exact: every
// thread runs every statement on the very memory it would have on a GPU. The blocks, and the threads of a block
// between two barriers, run in ascending or in descending order: a kernel whose result depends on that has a race.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>
using namespace std;

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace emulator {
enum State { NEW, READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    ucontext_t context;
    vector<char> stack = vector<char>(128 << 10);
};
static vector<Fiber> fibers;
static vector<State> states;    // of the threads
static vector<int> fiber_of;    // where a thread runs that has begun
static int begun, used;         // threads, and fibers
static bool down;               // descending order
static ucontext_t scheduler;
static function<void()> body;
static unsigned char slots[1024][16];  // what the lanes of a warp show each other

// A fiber runs one thread after another until one waits; then the next fiber goes on with those that have not begun.
static void entry() {
    const int me = used - 1, n = blockDim.x;
    while (begun < n) {
        const int t = down ? n - 1 - begun : begun;
        begun++;
        fiber_of[t] = me;
        threadIdx = {(unsigned)t, 0, 0};
        body();
        states[threadIdx.x] = DONE;
    }
}

static void wait(State state) {
    const int t = threadIdx.x;
    states[t] = state;
    swapcontext(&fibers[fiber_of[t]].context, &scheduler);
}

// 0, or 1 where some threads of a block (or warp) ended or went elsewhere while others wait for them
static int run_block(bool descending) {
    const int n = blockDim.x;
    fibers.resize(n);
    states.assign(n, NEW);
    fiber_of.assign(n, 0);
    begun = used = 0;
    down = descending;
    while (begun < n) {
        Fiber &f = fibers[used++];
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data();
        f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = &scheduler;
        makecontext(&f.context, entry, 0);
        swapcontext(&scheduler, &f.context);
    }
    while (true) {
        auto all = [&](int from, int to, State s) {
            return all_of(states.begin() + from, states.begin() + to, [=](State state) { return state == s; });
        };
        if (all(0, n, DONE)) return 0;
        for (int from = 0; from < n; from += 32)
            if (all(from, min(from + 32, n), AT_WARP)) fill_n(states.begin() + from, min(32, n - from), READY);
        if (all(0, n, AT_BLOCK)) fill_n(states.begin(), n, READY);
        bool moved = false;
        for (int i = 0; i < n; i++) {
            const int t = descending ? n - 1 - i : i;
            if (states[t] != READY) continue;
            threadIdx = {(unsigned)t, 0, 0};
            moved = true;
            swapcontext(&scheduler, &fibers[fiber_of[t]].context);
        }
        if (!moved) return 1;
    }
}

template <class... P, size_t... I>
static int launch(void (*kernel)(P...), void **arguments, const unsigned *shape, int descending, index_sequence<I...>) {
    body = [=] { kernel(*(P *)arguments[I]...); };
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], 1, 1};
    const size_t count = (size_t)shape[0] * shape[1] * shape[2];
    for (size_t i = 0; i < count; i++) {
        size_t b = descending ? count - 1 - i : i;
        blockIdx = {(unsigned)(b % shape[0]), (unsigned)(b / shape[0] % shape[1]), (unsigned)(b / shape[0] / shape[1])};
        if (run_block(descending)) return 1;
    }
    return 0;
}

template <class... P>
static int launch(void (*kernel)(P...), int given, void **arguments, const unsigned *shape, int descending) {
    if (given != (int)sizeof...(P)) return 2;
    return launch(kernel, arguments, shape, descending, index_sequence_for<P...>());
}

// The sizes of a kernel's arguments, which the caller's must have
template <class... P>
static void sizes(void (*)(P...), int *out) {
    for (int size : {(int)sizeof(P)..., 0}) *out++ = size;
}
}  // namespace emulator

static void __syncthreads() { emulator::wait(emulator::AT_BLOCK); }
static void __syncwarp() { emulator::wait(emulator::AT_WARP); }

template <class T>
static T __shfl_xor_sync(unsigned, T value, int mask) {
    memcpy(emulator::slots[threadIdx.x], &value, sizeof value);
    __syncwarp();
    memcpy(&value, emulator::slots[threadIdx.x ^ mask], sizeof value);
    __syncwarp();
    return value;
}

static float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static float __int_as_float(int bits) { return __uint_as_float(bits); }
static unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }

static unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}

static unsigned to_tf32(float x) { return (__float_as_uint(x) + 0x1000) & ~0x1fffu; }

static void mma_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    static unsigned A[1024][4], B[1024][2];
    const int me = threadIdx.x, warp = me & ~31, g = me % 32 / 4, t = me % 4;
    memcpy(A[me], a, sizeof a);
    memcpy(B[me], b, sizeof b);
    __syncwarp();
    for (int e = 0; e < 4; e++)
        for (int k = 0; k < 8; k++) {
            int row = g + e / 2 * 8, column = 2 * t + e % 2;
            float x = __uint_as_float(A[warp + row % 8 * 4 + k % 4][row / 8 + k / 4 * 2]);
            c[e] += x * __uint_as_float(B[warp + column * 4 + k % 4][k / 4]);
        }
    __syncwarp();
}
