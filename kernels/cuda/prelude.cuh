// What every source here begins with. REAL is float or double, given to the compiler.
typedef REAL real;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void

#define INF ((real)__int_as_float(0x7f800000))

// N neighbouring elements, read and written at once where they fit into 16 bytes
template <int N>
struct __align__(N * sizeof(real) < 16 ? N * sizeof(real) : 16) Pack { real v[N]; };

struct Divisor { u32 multiplier, shift; };  // n / d without a division, for n < 2^31 (Granlund & Montgomery 1994)

__device__ __forceinline__ int quotient(int n, Divisor d) { return (__umulhi(n, d.multiplier) + n) >> d.shift; }

// A block of 256 threads takes 1024 elements, a thread four that lie 256 apart: a warp reads 128 bytes in a row, and
// four reads of a thread are in flight at a time.
#define FOR_EACH(i, n)                                                                    \
    for (long long i = blockIdx.x * 1024LL + threadIdx.x,                                 \
                   i##_end = (blockIdx.x + 1) * 1024LL < (n) ? (blockIdx.x + 1) * 1024LL : (n); \
         i < i##_end; i += 256)

// Sums over the rows of x (R, C). A block takes 32 columns and a stretch of the rows, eight at a time: a warp reads 32
// neighbouring elements, a thread adds up one column in float64, and the eight threads of a column meet in shared
// memory. What the blocks of a column found, its parts, is added up by every block of the kernel that needs the sum.
__device__ __forceinline__ double column_sum(double v) {  // over the eight threads of a column: each gets it
    __shared__ double lanes[8][32];
    const int tx = threadIdx.x % 32, ty = threadIdx.x / 32;
    __syncthreads();
    lanes[ty][tx] = v;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < 8; i++) sum += lanes[i][tx];
    return sum;
}

__device__ __forceinline__ double all_parts(const double *parts, int count, int columns, int c) {
    double sum = 0;
    if (c < columns)
        for (int p = threadIdx.x / 32; p < count; p += 8) sum += parts[(long long)p * columns + c];
    return column_sum(sum);
}

#define COLUMN const int c = blockIdx.x * 32 + threadIdx.x % 32
#define EACH_ROW(i)                                                                                            \
    if (c < columns)                                                                                           \
        for (long long r = (long long)blockIdx.y * stretch + threadIdx.x / 32,                                 \
                       end = min((long long)rows, (long long)(blockIdx.y + 1) * stretch), i = r * columns + c; \
             r < end; r += 8, i += 8LL * columns)
#define PART(sum)              \
    const double total = column_sum(sum); \
    if (threadIdx.x < 32 && c < columns) parts[(long long)blockIdx.y * columns + c] = total
