// The branches of a block beside the residual stream: a norm, matrix products, and what lies between them, in blocks
// of rows.

#pragma once

#include "gated.h"
#include "products.h"

namespace {

template <class P>
void add_branch(const float* x, const P* branch, const uint8_t* drawn, int32_t dropped, float* y, int64_t count) {
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (count > FEW)
    for (int64_t first = 0; first < count; first += TILE) {
        const int64_t here = least(TILE, count - first);
        float wide[TILE];
#pragma omp simd
        for (int64_t c = 0; c < here; ++c) wide[c] = widened(branch[first + c]);
        add_dropped(x + first, wide, drawn + first, dropped, scale, y + first, here);
    }
}

template <class P>
void add_branch_backward(const float* gradient, const uint8_t* drawn, int32_t dropped, P* of_branch, int64_t count) {
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (count > FEW)
    for (int64_t first = 0; first < count; first += TILE)
        drop(gradient + first, drawn + first, dropped, scale, of_branch + first, least(TILE, count - first));
}

template <class P>
inline void normalize(const float* __restrict x, const float* __restrict scale, const float* __restrict shift,
                      float epsilon, P* __restrict out, float* __restrict mean, float* __restrict deviation,
                      int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; ++row) {
        const float* at = x + row * width;
        float sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < width; ++c) sum += at[c];
        const float middle = sum / width;
#pragma omp simd reduction(+ : squares)
        for (int64_t c = 0; c < width; ++c) squares += (at[c] - middle) * (at[c] - middle);
        const float factor = 1.0f / __builtin_sqrtf(squares / width + epsilon);
        mean[row] = middle, deviation[row] = factor;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c)
            narrow((at[c] - middle) * factor * scale[c] + shift[c], out[row * width + c]);
    }
}

// Also gives what the norm had given.
template <class P>
inline void normalize_backward(const float* __restrict gradient, const float* __restrict x,
                               const float* __restrict scale, const float* __restrict shift,
                               const float* __restrict mean, const float* __restrict deviation,
                               const float* __restrict beside, float* __restrict of_x, float* __restrict of_scale,
                               float* __restrict of_shift, P* __restrict out, int64_t rows, int64_t width) {
    std::memset(of_scale, 0, width * sizeof(float));
    std::memset(of_shift, 0, width * sizeof(float));
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = row * width;
        const float middle = mean[row], factor = deviation[row];
        float sum = 0.0f, along = 0.0f;
#pragma omp simd reduction(+ : sum, along)
        for (int64_t c = 0; c < width; ++c) {
            const float g = gradient[at + c], normal = (x[at + c] - middle) * factor;
            of_scale[c] += g * normal;
            of_shift[c] += g;
            sum += g * scale[c];
            along += g * scale[c] * normal;
        }
        sum /= width, along /= width;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) {
            const float g = gradient[at + c] * scale[c], normal = (x[at + c] - middle) * factor;
            of_x[at + c] = beside[at + c] + factor * (g - sum - normal * along);
            narrow(normal * scale[c] + shift[c], out[at + c]);
        }
    }
}

// The sums over all rows, of those over `count` parts of them: [count, columns].
inline void add_up(const float* __restrict parts, int64_t count, int64_t stride, float* __restrict sums,
                   int64_t columns) {
    std::memcpy(sums, parts, columns * sizeof(float));
    for (int64_t part = 1; part < count; ++part) {
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) sums[c] += parts[part * stride + c];
    }
}

constexpr int64_t BLOCK = 64;  // rows that are taken together, and their sums

inline int64_t blocks_of(int64_t rows) { return (rows + BLOCK - 1) / BLOCK; }

// Where rows are computed that are to be paired.
inline float* place(float* paired, float*) { return paired; }
inline bfloat16* place(bfloat16*, bfloat16* beside) { return beside; }

// What of a branch's memory a thread has for itself, and what the thread that calls shares with all.
enum { OWN, SHARED, START };

// g of the learned parameter: what the recurrence starts with.
inline const float* started(const float* initial, int64_t width) {
    float* start = Room<START>::of<float>(width);
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) start[c] = positive(initial[c]);
    return start;
}

template <int GATES, class P>
void gated_branch(const float* x, const float* scale, const float* shift, float epsilon, const float* weight,
                  const float* bias, const float* initial, const float* state, const uint8_t* reset,
                  const uint8_t* drawn, int32_t dropped, float* mean, float* deviation, P* projected, float* h,
                  float* y, int64_t batch, int64_t time, int64_t width) {
    const int64_t rows = batch * time, columns = (1 + GATES) * width;
    P* packed = Room<SHARED>::of<P>(columns * width);
    pack_transposed(weight, packed, columns, width);
#pragma omp parallel if (rows * width > FEW)
    {
        float* wide = Room<OWN>::of<float>(BLOCK * (columns + width));
        P* normed = reinterpret_cast<P*>(wide + BLOCK * columns);
#pragma omp for
        for (int64_t first = 0; first < rows; first += BLOCK) {
            const int64_t count = least(BLOCK, rows - first);
            normalize(x + first * width, scale, shift, epsilon, normed, mean + first, deviation + first, count, width);
            multiply(normed, packed, wide, count, columns, width);
            P* out = projected + first * columns;
#pragma omp simd
            for (int64_t c = 0; c < count * columns; ++c) narrow(wide[c], out[c]);
        }
        release(normed);
    }
    const float* fresh = started(initial, width);
    gated<GATES>(projected, bias, state ? state : fresh, state ? width : 0, fresh, 0, reset, h, x, drawn, dropped, y,
                 batch, time, width);
}

template <int GATES, class P>
void gated_branch_backward(const float* gradient, const float* of_last, const float* x, const float* scale,
                           const float* shift, const float* weight, const float* bias, const float* initial,
                           const float* state, const uint8_t* reset, const uint8_t* drawn, int32_t dropped,
                           const float* mean, const float* deviation, const P* projected, const float* h,
                           P* of_projected, float* of_x, float* of_scale, float* of_shift, float* of_weight,
                           float* of_bias, float* of_initial, float* of_state, int64_t batch, int64_t time,
                           int64_t width) {
    const int64_t rows = batch * time, columns = (1 + GATES) * width, blocks = blocks_of(rows);
    std::unique_ptr<float[]> sums(new float[blocks * 2 * width + batch * (columns + 2 * width)]);
    float *of_biases = sums.get() + blocks * 2 * width, *of_starts = of_biases + batch * columns;
    float* of_states = state ? of_state : of_starts + batch * width;
    const float* fresh = started(initial, width);
    gated_backward<GATES>(projected, bias, state ? state : fresh, state ? width : 0, fresh, 0, reset, h, gradient,
                          drawn, dropped, of_last, of_projected, of_biases, of_states, of_starts, batch, time, width);
    const int64_t chunk = chunk_of(rows), room = room_of<P>(chunk);
    P* packed = Room<SHARED>::of<P>(columns * width + room * (columns + width));
    P *transposed = packed + columns * width, *paired = transposed + room * columns;
    pack(weight, packed, columns, width);
    const WeightGradient<P> total{of_weight, columns, width, transposed};
#pragma omp parallel if (rows * width > FEW)
    {
        float* wide = Room<OWN>::of<float>(2 * BLOCK * width);
        P* beside = reinterpret_cast<P*>(wide + BLOCK * width);
        for (int64_t start = 0; start < rows; start += chunk) {
            const int64_t end = least(start + chunk, rows);
#pragma omp for
            for (int64_t first = start; first < end; first += BLOCK) {
                const int64_t count = least(BLOCK, end - first), at = first * width;
                const P* out = of_projected + first * columns;
                float* sum = sums.get() + first / BLOCK * 2 * width;
                P* to = paired + (first - start) * width;
                P* normed = place(to, beside);
                multiply(out, packed, wide, count, width, columns);
                normalize_backward(wide, x + at, scale, shift, mean + first, deviation + first, gradient + at,
                                   of_x + at, sum, sum + width, normed, count, width);
                transpose(out, transposed, first - start, count, columns);
                pair(normed, to, count, width);
            }
#pragma omp for
            for (int64_t tile = 0; tile < total.tiles(); ++tile) total.add(tile, paired, end - start, start > 0);
        }
        release(beside);
    }
    add_up(sums.get(), blocks, 2 * width, of_scale, width);
    add_up(sums.get() + width, blocks, 2 * width, of_shift, width);
    add_up(of_biases, batch, columns, of_bias, columns);
    // without a state, every row has begun with the initial one
    add_up(of_starts, state ? batch : 2 * batch, width, of_initial, width);
    // at zero, where a parameter begins, the slope from below, as PyTorch's operations give it
    for (int64_t c = 0; c < width; ++c)
        if (initial[c] <= 0.0f) of_initial[c] *= fresh[c] - fresh[c] * fresh[c];
}

template <class P>
void feed_forward(const float* x, const float* scale, const float* shift, float epsilon, const float* up,
                  const float* up_bias, const float* down, const float* down_bias, const uint8_t* drawn,
                  int32_t dropped, float* mean, float* deviation, P* inner, float* y, int64_t rows, int64_t width,
                  int64_t columns) {
    const int64_t widest = width > columns ? width : columns;
    const float factor = 256.0f / (256 - dropped);
    P *packed_up = Room<SHARED>::of<P>(2 * columns * width), *packed_down = packed_up + columns * width;
    pack_transposed(up, packed_up, columns, width);
    pack_transposed(down, packed_down, width, columns);
#pragma omp parallel if (rows * width > FEW)
    {
        float* wide = Room<OWN>::of<float>(BLOCK * (widest + width));
        P* normed = reinterpret_cast<P*>(wide + BLOCK * widest);
#pragma omp for
        for (int64_t first = 0; first < rows; first += BLOCK) {
            const int64_t count = least(BLOCK, rows - first), at = first * width;
            P* u = inner + first * columns;
            normalize(x + at, scale, shift, epsilon, normed, mean + first, deviation + first, count, width);
            multiply(normed, packed_up, wide, count, columns, width);
            for (int64_t row = 0; row < count; ++row) {
                const int64_t start = row * columns;
#pragma omp simd
                for (int64_t c = 0; c < columns; ++c) {
                    const float value = wide[start + c] + up_bias[c];
                    narrow(value < 0.0f ? 0.0f : value, u[start + c]);
                }
            }
            multiply(u, packed_down, wide, count, width, columns);
            for (int64_t row = 0; row < count; ++row) {
                float* here = wide + row * width;
                const int64_t to = at + row * width;
#pragma omp simd
                for (int64_t c = 0; c < width; ++c) here[c] += down_bias[c];
                add_dropped(x + to, here, drawn ? drawn + to : nullptr, dropped, factor, y + to, width);
            }
        }
        release(normed);
    }
}

// Takes the biases for no more than its caller's sake.
template <class P>
void feed_forward_backward(const float* gradient, const float* x, const float* scale, const float* shift,
                           const float* up, const float*, const float* down, const float*, const uint8_t* drawn,
                           int32_t dropped, const float* mean, const float* deviation, const P* inner, float* of_x,
                           float* of_scale, float* of_shift, float* of_up, float* of_up_bias, float* of_down,
                           float* of_down_bias, int64_t rows, int64_t width, int64_t columns) {
    const float factor = 256.0f / (256 - dropped);
    const int64_t blocks = blocks_of(rows), each = 3 * width + columns, widest = width > columns ? width : columns;
    std::unique_ptr<float[]> sums(new float[blocks * each]);
    const int64_t chunk = chunk_of(rows), room = room_of<P>(chunk);
    P* packed_up = Room<SHARED>::of<P>(2 * columns * width + 2 * room * (columns + width));
    P *packed_down = packed_up + columns * width, *transposed_inner = packed_down + columns * width;
    P *transposed_branch = transposed_inner + room * columns, *paired_inner = transposed_branch + room * width;
    P* paired_normed = paired_inner + room * columns;
    pack(up, packed_up, columns, width);
    pack(down, packed_down, width, columns);
    const WeightGradient<P> total_up{of_up, columns, width, transposed_inner};
    const WeightGradient<P> total_down{of_down, width, columns, transposed_branch};
    const int64_t tiles = total_up.tiles();
#pragma omp parallel if (rows * width > FEW)
    {
        float* wide = Room<OWN>::of<float>(BLOCK * (widest + columns + 2 * width));
        P *of_u = reinterpret_cast<P*>(wide + BLOCK * widest), *of_branch = of_u + BLOCK * columns;
        P* beside = of_branch + BLOCK * width;
        for (int64_t start = 0; start < rows; start += chunk) {
            const int64_t end = least(start + chunk, rows);
#pragma omp for
            for (int64_t first = start; first < end; first += BLOCK) {
                const int64_t count = least(BLOCK, end - first), at = first * width, in_chunk = first - start;
                const P* u = inner + first * columns;
                float *sum = sums.get() + first / BLOCK * each, *sum_down = sum + 2 * width, *sum_up = sum + 3 * width;
                std::memset(sum_down, 0, (width + columns) * sizeof(float));
                for (int64_t row = 0; row < count; ++row) {
                    const int64_t from = at + row * width;
                    P* to = of_branch + row * width;
                    drop(gradient + from, drawn ? drawn + from : nullptr, dropped, factor, to, width);
#pragma omp simd
                    for (int64_t c = 0; c < width; ++c) sum_down[c] += widened(to[c]);
                }
                multiply(of_branch, packed_down, wide, count, columns, width);
                for (int64_t row = 0; row < count; ++row) {
                    const int64_t here = row * columns;
#pragma omp simd
                    for (int64_t c = 0; c < columns; ++c) {
                        const float g = widened(u[here + c]) > 0.0f ? wide[here + c] : 0.0f;
                        narrow(g, of_u[here + c]);
                        sum_up[c] += g;
                    }
                }
                P* to_normed = paired_normed + in_chunk * width;
                P* normed = place(to_normed, beside);
                multiply(of_u, packed_up, wide, count, width, columns);
                normalize_backward(wide, x + at, scale, shift, mean + first, deviation + first, gradient + at,
                                   of_x + at, sum, sum + width, normed, count, width);
                transpose(of_u, transposed_inner, in_chunk, count, columns);
                transpose(of_branch, transposed_branch, in_chunk, count, width);
                pair(u, paired_inner + in_chunk * columns, count, columns);
                pair(normed, to_normed, count, width);
            }
#pragma omp for
            for (int64_t tile = 0; tile < tiles + total_down.tiles(); ++tile) {
                if (tile < tiles)
                    total_up.add(tile, paired_normed, end - start, start > 0);
                else
                    total_down.add(tile - tiles, paired_or_not(inner + start * columns, paired_inner), end - start,
                                   start > 0);
            }
        }
        release(beside);
    }
    add_up(sums.get(), blocks, each, of_scale, width);
    add_up(sums.get() + width, blocks, each, of_shift, width);
    add_up(sums.get() + 2 * width, blocks, each, of_down_bias, width);
    add_up(sums.get() + 3 * width, blocks, each, of_up_bias, columns);
}

}  // namespace
