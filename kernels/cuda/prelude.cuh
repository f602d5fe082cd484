// What every source here begins with. REAL is float or double, given to the compiler.
typedef REAL real;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void

#define INF ((real)__int_as_float(0x7f800000))

// A block of 256 threads takes 1024 elements, a thread four that lie 256 apart: a warp reads 128 bytes in a row, and
// four reads of a thread are in flight at a time.
#define FOR_EACH(i, n)                                                                    \
    for (long long i = blockIdx.x * 1024LL + threadIdx.x,                                 \
                   i##_end = (blockIdx.x + 1) * 1024LL < (n) ? (blockIdx.x + 1) * 1024LL : (n); \
         i < i##_end; i += 256)
