// Products of matrices in blocks of rows, so that what is computed between two of them stays in a cache.
//
// They are torch's: its interface to oneDNN's kernels, which it exports. A weight's gradient, a product over all rows,
// is taken of as many rows at a time as memory is set aside for.

#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <atomic>
#include <chrono>
#include <memory>
#include <new>

#include "arithmetic.h"

namespace {

// C = A B, or C + A B, of row-major matrices, by one thread: [rows, columns] = [rows, depth] [depth, columns]. A
// bfloat16 B is `paired`: of two rows, the two numbers of a column lie side by side.
template <class P>
using Product = void (*)(int64_t rows, int64_t columns, int64_t depth, int64_t stride_a, int64_t stride_b,
                         int64_t stride_c, bool add, const P* a, const P* b, float* c, bool paired);

template <class P>
Product<P> product;
void (*release_thread)(bool paired);

template <class P>
constexpr int64_t PAIRED = sizeof(P) == 2 ? 2 : 1;  // rows that lie in one

template <class P>
inline void multiply(const P* a, int64_t stride_a, const P* b, int64_t stride_b, float* c, int64_t stride_c,
                     int64_t rows, int64_t columns, int64_t depth, bool add) {
    product<P>(rows, columns, depth, stride_a, stride_b, stride_c, add, a, b, c, PAIRED<P> == 2);
}

// The same function, when its time is counted, of all threads together.
template <class P>
Product<P> uncounted;
std::atomic<int64_t> nanoseconds;

template <class P>
void counted(int64_t rows, int64_t columns, int64_t depth, int64_t stride_a, int64_t stride_b, int64_t stride_c,
             bool add, const P* a, const P* b, float* c, bool paired) {
    const auto began = std::chrono::steady_clock::now();
    uncounted<P>(rows, columns, depth, stride_a, stride_b, stride_c, add, a, b, c, paired);
    const auto took = std::chrono::steady_clock::now() - began;
    nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
}

// Of whole matrices.
template <class P>
inline void multiply(const P* a, const P* b, float* c, int64_t rows, int64_t columns, int64_t depth) {
    multiply(a, depth, b, columns, c, columns, rows, columns, depth, false);
}

// After a thread's last product: gives up its tiles.
inline void release(const float*) {}
inline void release(const bfloat16*) { release_thread(true); }

// A thread's memory, which is kept for its next call; `USE` tells those apart that one thread holds at a time.
template <int USE>
class Room {
  public:
    template <class T>
    static T* of(int64_t count) {
        static thread_local Room room;
        const size_t bytes = count * sizeof(T);
        if (bytes > room.bytes) {
            ::operator delete(room.memory, ALIGNMENT);
            room.memory = nullptr, room.bytes = 0;
            room.memory = ::operator new(bytes, ALIGNMENT);
            room.bytes = bytes;
        }
        return static_cast<T*>(room.memory);
    }

    ~Room() { ::operator delete(memory, ALIGNMENT); }

  private:
    static constexpr std::align_val_t ALIGNMENT{64};
    void* memory = nullptr;
    size_t bytes = 0;
};

constexpr int64_t SIDE = 16;  // of the tiles that are transposed

// Of a chunk, so many rows are multiplied at a time, which lie transposed in rows of so many numbers: no power of two,
// whose multiples would share one place in the cache.
template <class P>
constexpr int64_t DEPTH = 1024 / sizeof(P);
template <class P>
constexpr int64_t STRIDE = DEPTH<P> + 2 * SIDE;

// Rows whose share of a weight's gradient is taken together: few enough to stay in the cache, and some for each thread.
// Whole DEPTHs, so that sums are the same for any number of threads.
inline int64_t chunk_of(int64_t rows) {
    int64_t chunk = DEPTH<bfloat16>;
#ifdef _OPENMP
    chunk *= (omp_get_max_threads() + 1) / 2;
#endif
    return least(rows, chunk);
}

// Numbers set aside for a column of a chunk, transposed or paired.
template <class P>
int64_t room_of(int64_t chunk) {
    return (chunk + DEPTH<P> - 1) / DEPTH<P> * STRIDE<P>;
}

// Transposes a tile: to shuffle a pack of 16 * 16 cards perfectly, four times, brings card 16 r + c to 16 c + r.
template <class T>
inline void transpose_tile(T* __restrict tile, T* __restrict beside) {
    constexpr int64_t HALF = SIDE * SIDE / 2;
    for (int round = 0; round < 2; ++round) {
#pragma omp simd
        for (int64_t i = 0; i < HALF; ++i) beside[2 * i] = tile[i], beside[2 * i + 1] = tile[HALF + i];
#pragma omp simd
        for (int64_t i = 0; i < HALF; ++i) tile[2 * i] = beside[i], tile[2 * i + 1] = beside[HALF + i];
    }
}

// Two rows' numbers of a column as one, the first in its lower half.
inline uint32_t both(bfloat16 first, bfloat16 second) { return static_cast<uint32_t>(second.bits) << 16 | first.bits; }

// What `multiply` takes as A for the transpose of a block of rows, of which the first is row `at` of its chunk; zeros
// up to the end of a tile.
inline void transpose(const float* __restrict in, float* __restrict chunk, int64_t at, int64_t rows, int64_t columns) {
    float* out = chunk + at / DEPTH<float> * STRIDE<float> * columns + at % DEPTH<float>;
    for (int64_t first = 0; first < columns; first += SIDE) {
        const int64_t across = least(SIDE, columns - first);
        for (int64_t r = 0; r < rows; r += SIDE) {
            float tile[SIDE * SIDE] = {}, beside[SIDE * SIDE];
            for (int64_t i = 0; i < least(SIDE, rows - r); ++i) {
                const float* from = in + (r + i) * columns + first;
                if (across == SIDE)
                    std::memcpy(tile + i * SIDE, from, SIDE * sizeof(float));
                else
                    std::memcpy(tile + i * SIDE, from, across * sizeof(float));
            }
            transpose_tile(tile, beside);
            for (int64_t c = 0; c < across; ++c)
                std::memcpy(out + (first + c) * STRIDE<float> + r, tile + c * SIDE, SIDE * sizeof(float));
        }
    }
}

inline void transpose(const bfloat16* __restrict in, bfloat16* __restrict chunk, int64_t at, int64_t rows,
                      int64_t columns) {
    bfloat16* out = chunk + at / DEPTH<bfloat16> * STRIDE<bfloat16> * columns + at % DEPTH<bfloat16>;
    for (int64_t first = 0; first < columns; first += SIDE) {
        const int64_t across = least(SIDE, columns - first);
        for (int64_t r = 0; r < rows; r += 2 * SIDE) {
            uint32_t tile[SIDE * SIDE] = {}, beside[SIDE * SIDE];
            for (int64_t i = 0; i < least(2 * SIDE, rows - r); i += 2) {
                const bfloat16* from = in + (r + i) * columns + first;
                uint32_t* to = tile + i / 2 * SIDE;
                if (r + i + 1 < rows && across == SIDE) {
#pragma omp simd
                    for (int64_t c = 0; c < SIDE; ++c) to[c] = both(from[c], from[c + columns]);
                } else {
                    const bool alone = r + i + 1 == rows;
                    for (int64_t c = 0; c < across; ++c) to[c] = both(from[c], alone ? bfloat16{0} : from[c + columns]);
                }
            }
            transpose_tile(tile, beside);
            for (int64_t c = 0; c < across; ++c)
                std::memcpy(out + (first + c) * STRIDE<bfloat16> + r, tile + c * SIDE, SIDE * sizeof(uint32_t));
        }
    }
}

inline bfloat16 rounded(bfloat16 x) { return x; }

inline bfloat16 rounded(float x) {
    bfloat16 y;
    narrow(x, y);
    return y;
}

template <class T>
inline void pair_rows(const T* __restrict first, bfloat16* __restrict out, int64_t columns) {
    const T* __restrict second = first + columns;
    auto* pairs = reinterpret_cast<uint32_t*>(out);
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) pairs[c] = both(rounded(first[c]), rounded(second[c]));
}

// What `multiply` takes as B for a block of rows: of float the rows as they are. After an odd number one more of zeros.
inline void pair(const float*, float*, int64_t, int64_t) {}

inline void pair(const bfloat16* in, bfloat16* out, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r + 1 < rows; r += 2) pair_rows(in + r * columns, out + r * columns, columns);
    if (rows & 1) {
        auto* pairs = reinterpret_cast<uint32_t*>(out + (rows - 1) * columns);
        for (int64_t c = 0; c < columns; ++c) pairs[c] = both(in[(rows - 1) * columns + c], bfloat16{0});
    }
}

inline const float* paired_or_not(const float* rows, const float*) { return rows; }
inline const bfloat16* paired_or_not(const bfloat16*, const bfloat16* pairs) { return pairs; }

// A weight [rows, columns] as `multiply` takes it for B.
inline void pack(const float* weight, float* out, int64_t rows, int64_t columns) {
    std::memcpy(out, weight, rows * columns * sizeof(float));
}

inline void pack(const float* weight, bfloat16* out, int64_t rows, int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t r = 0; r < rows; r += 2) pair_rows(weight + r * columns, out + r * columns, columns);
}

// Its transpose, [columns, rows], likewise.
inline void pack_transposed(const float* __restrict weight, float* __restrict out, int64_t rows, int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t first = 0; first < columns; first += SIDE) {
        const int64_t end = least(first + SIDE, columns);
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = first; c < end; ++c) out[c * rows + r] = weight[r * columns + c];
    }
}

inline void pack_transposed(const float* __restrict weight, bfloat16* __restrict out, int64_t rows, int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t first = 0; first < columns; first += SIDE) {
        const int64_t count = least(SIDE, columns - first);
        for (int64_t r = 0; r < rows; ++r) {
            const float* at = weight + r * columns + first;
            bfloat16 narrowed[SIDE];
#pragma omp simd
            for (int64_t c = 0; c < count; ++c) narrow(at[c], narrowed[c]);
            for (int64_t c = 0; c < count; c += 2)
                std::memcpy(out + (first + c) * rows + 2 * r, narrowed + c, 2 * sizeof(bfloat16));
        }
    }
}

// The gradient of a weight [outputs, inputs], from those of its outputs, of which a chunk of rows lies transposed, and
// from its inputs.
template <class P>
struct WeightGradient {
    float* out;
    int64_t outputs, inputs;
    P* of_outputs;

    static constexpr int64_t TALL = 64, WIDE = 128;

    int64_t tiles() const { return (outputs + TALL - 1) / TALL * across(); }

    int64_t across() const { return (inputs + WIDE - 1) / WIDE; }

    // One tile, for a chunk of so many rows, the first or a later one.
    void add(int64_t tile, const P* given, int64_t rows, bool later) const {
        constexpr int64_t depth = DEPTH<P>, stride = STRIDE<P>, paired = PAIRED<P>;
        const int64_t o = tile / across() * TALL, i = tile % across() * WIDE;
        for (int64_t row = 0; row < rows; row += depth) {
            const int64_t count = (least(depth, rows - row) + paired - 1) / paired * paired;
            multiply(of_outputs + (row / depth * outputs + o) * stride, stride, given + row * inputs + i * paired,
                     inputs, out + o * inputs + i, inputs, least(TALL, outputs - o), least(WIDE, inputs - i), count,
                     later || row > 0);
        }
    }
};

}  // namespace
