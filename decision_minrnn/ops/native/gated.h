// minGRU's and minLSTM's gates and recurrence, and h added to a residual stream.

#pragma once

#include <memory>

#include "arithmetic.h"

namespace {

// g of the paper: x + 0.5 for x >= 0, else sigmoid(x).
inline float positive(float x) {
    const float below = sigmoid(x), above = x + 0.5f;
    return above > below ? above : below;
}

// The slope of g where it gives this value.
inline float slope_of(float value) { return value >= 0.5f ? 1.0f : value - value * value; }

// What a step's gates make of it: GATES = 1 is minGRU's, 2 is minLSTM's, the forget gate first.
struct Step {
    float value, write, kept;
};

template <int GATES, class P>
inline Step step_of(const P* projected, const float* bias, int64_t size) {
    const float value = positive(widened(projected[0]) + bias[0]);
    if (GATES == 1) {
        const float closed = exponential(-widened(projected[size]) - bias[size]);
        const float write = 1.0f / (1.0f + closed);
        return {value, write, closed * write};
    }
    const float forget = 1.0f + exponential(-widened(projected[size]) - bias[size]);
    const float input = 1.0f + exponential(-widened(projected[2 * size]) - bias[2 * size]);
    const float whole = 1.0f / (forget + input);
    return {value, forget * whole, input * whole};
}

template <int GATES, class P>
void gated(const P* __restrict projected, const float* __restrict bias, const float* __restrict state,
           int64_t state_stride, const float* __restrict initial, int64_t initial_stride,
           const uint8_t* __restrict reset, float* __restrict h, const float* __restrict x,
           const uint8_t* __restrict drawn, int32_t dropped, float* __restrict y, int64_t batch, int64_t time,
           int64_t size) {
    const int64_t tiles = (size + TILE - 1) / TILE, columns = (1 + GATES) * size;
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (batch * time * size > FEW)
    for (int64_t task = 0; task < batch * tiles; ++task) {
        const int64_t row = task / tiles, first = task % tiles * TILE, count = least(TILE, size - first);
        const float* start = initial + row * initial_stride + first;
        float carried[TILE];
        std::memcpy(carried, state + row * state_stride + first, count * sizeof(float));
        for (int64_t t = 0; t < time; ++t) {
            const int64_t at = (row * time + t) * size + first;
            const P* in = projected + (row * time + t) * columns + first;
            if (reset && reset[row * time + t]) std::memcpy(carried, start, count * sizeof(float));
#pragma omp simd
            for (int64_t d = 0; d < count; ++d) {
                const Step step = step_of<GATES>(in + d, bias + first + d, size);
                carried[d] += step.write * (step.value - carried[d]);
                h[at + d] = carried[d];
            }
            if (y) add_dropped(x + at, carried, drawn ? drawn + at : nullptr, dropped, scale, y + at, count);
        }
    }
}

template <int GATES, class P>
void gated_backward(const P* __restrict projected, const float* __restrict bias, const float* __restrict state,
                    int64_t state_stride, const float* __restrict initial, int64_t initial_stride,
                    const uint8_t* __restrict reset, const float* __restrict h, const float* __restrict gradient,
                    const uint8_t* __restrict drawn, int32_t dropped, const float* __restrict of_last,
                    P* __restrict of_projected, float* __restrict of_bias, float* __restrict of_state,
                    float* __restrict of_initial, int64_t batch, int64_t time, int64_t size) {
    const int64_t tiles = (size + TILE - 1) / TILE, columns = (1 + GATES) * size;
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (batch * time * size > FEW)
    for (int64_t task = 0; task < batch * tiles; ++task) {
        const int64_t row = task / tiles, first = task % tiles * TILE, count = least(TILE, size - first);
        const float* start = initial + row * initial_stride + first;
        float carried[TILE] = {}, of_start[TILE] = {}, sums[1 + GATES][TILE] = {}, of_h[TILE];
        if (of_last) std::memcpy(carried, of_last + row * size + first, count * sizeof(float));
        for (int64_t t = time - 1; t >= 0; --t) {
            const int64_t step_at = row * time + t, at = step_at * size + first;
            const P* in = projected + step_at * columns + first;
            P* out = of_projected + step_at * columns + first;
            const bool marked = reset && reset[step_at];
            const float* before = marked ? start : t ? h + at - size : state + row * state_stride + first;
            drop(gradient + at, drawn ? drawn + at : nullptr, dropped, scale, of_h, count);
#pragma omp simd
            for (int64_t d = 0; d < count; ++d) {
                const Step step = step_of<GATES>(in + d, bias + first + d, size);
                const float total = of_h[d] + carried[d];
                carried[d] = total * step.kept;
                const float of_value = total * step.write;
                const float of_candidate = of_value * slope_of(step.value);
                float of_gate = of_value * step.kept * (step.value - before[d]);
                if (GATES == 2) {
                    // log i' - log f' = log i - log f, and the slope of log sigmoid is one minus the sigmoid
                    const float* here = bias + first + d;
                    const float of_input = of_gate * sigmoid(-widened(in[2 * size + d]) - here[2 * size]);
                    of_gate *= -sigmoid(-widened(in[size + d]) - here[size]);
                    narrow(of_input, out[2 * size + d]);
                    sums[GATES][d] += of_input;
                }
                narrow(of_candidate, out[d]);
                narrow(of_gate, out[size + d]);
                sums[0][d] += of_candidate;
                sums[1][d] += of_gate;
            }
            if (marked) {
                for (int64_t d = 0; d < count; ++d) {
                    of_start[d] += carried[d];
                    carried[d] = 0.0f;
                }
            }
        }
        for (int part = 0; part <= GATES; ++part)
            std::memcpy(of_bias + row * columns + part * size + first, sums[part], count * sizeof(float));
        std::memcpy(of_state + row * size + first, carried, count * sizeof(float));
        std::memcpy(of_initial + row * size + first, of_start, count * sizeof(float));
    }
}

// The recurrence by itself, of pre-activations that have their bias.
template <int GATES, class P>
void gated_scan(const P* projected, const float* state, const float* initial, const uint8_t* reset, float* h,
                int64_t batch, int64_t time, int64_t size) {
    const std::unique_ptr<float[]> zeros(new float[(1 + GATES) * size]());
    gated<GATES>(projected, zeros.get(), state, size, initial, size, reset, h, nullptr, nullptr, 0, nullptr, batch,
                 time, size);
}

template <int GATES, class P>
void gated_scan_backward(const P* projected, const float* state, const float* initial, const uint8_t* reset,
                         const float* h, const float* gradient, P* of_projected, float* of_state, float* of_initial,
                         int64_t batch, int64_t time, int64_t size) {
    const int64_t columns = (1 + GATES) * size;
    const std::unique_ptr<float[]> zeros(new float[columns]()), of_bias(new float[batch * columns]);
    gated_backward<GATES>(projected, zeros.get(), state, size, initial, size, reset, h, gradient, nullptr, 0, nullptr,
                          of_projected, of_bias.get(), of_state, of_initial, batch, time, size);
}

}  // namespace
