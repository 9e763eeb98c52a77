// S6's recurrence and its output.

#pragma once

#include "arithmetic.h"

namespace {

constexpr int64_t SLICE = 64;  // channels whose states are kept at once, for a gradient

// One step of a slice of S6's channels: h = exp(-dt * rate) h + dt * write * x, for each of the modes. States and rates
// lie [modes, channels], so that channels are computed side by side.
inline void advance(const float* dt, const float* x, const float* write, const float* rates, const float* before,
                    float* decay, float* h, int64_t modes, int64_t channels, int64_t count) {
    for (int64_t n = 0; n < modes; ++n) {
        const float* rate = rates + n * channels;
#pragma omp simd
        for (int64_t d = 0; d < count; ++d) {
            const float kept = exponential(-dt[d] * rate[d]);
            decay[n * SLICE + d] = kept;
            h[n * SLICE + d] = kept * before[n * SLICE + d] + dt[d] * write[n] * x[d];
        }
    }
}

void scan_selectively(const float* __restrict dt, const float* __restrict rates, const float* __restrict write,
                      const float* __restrict read, const float* __restrict x, const float* __restrict state,
                      const uint8_t* __restrict reset, float* __restrict y, float* __restrict last, int64_t batch,
                      int64_t time, int64_t channels, int64_t modes) {
    const int64_t slices = (channels + SLICE - 1) / SLICE, size = modes * SLICE;
#pragma omp parallel for if (batch * time * channels * modes > FEW)
    for (int64_t task = 0; task < batch * slices; ++task) {
        const int64_t row = task / slices, first = task % slices * SLICE, count = least(SLICE, channels - first);
        float* memory = new float[2 * size]();
        float *h = memory, *decay = memory + size;
        for (int64_t n = 0; n < modes; ++n)
            std::memcpy(h + n * SLICE, state + (row * modes + n) * channels + first, count * sizeof(float));
        for (int64_t t = 0; t < time; ++t) {
            const int64_t step = row * time + t, at = step * channels + first;
            if (reset && reset[step]) std::memset(h, 0, size * sizeof(float));
            advance(dt + at, x + at, write + step * modes, rates + first, h, decay, h, modes, channels, count);
            std::memset(y + at, 0, count * sizeof(float));
            for (int64_t n = 0; n < modes; ++n) {
                const float weight = read[step * modes + n];
#pragma omp simd
                for (int64_t d = 0; d < count; ++d) y[at + d] += weight * h[n * SLICE + d];
            }
        }
        for (int64_t n = 0; n < modes; ++n)
            std::memcpy(last + (row * modes + n) * channels + first, h + n * SLICE, count * sizeof(float));
        delete[] memory;
    }
}

// The states of a slice are computed again, and kept until its gradients are known.
void scan_selectively_backward(const float* __restrict dt, const float* __restrict rates, const float* __restrict write,
                               const float* __restrict read, const float* __restrict x, const float* __restrict state,
                               const uint8_t* __restrict reset, const float* __restrict gradient,
                               const float* __restrict of_last, float* __restrict of_dt, float* __restrict of_rates,
                               float* __restrict of_write, float* __restrict of_read, float* __restrict of_x,
                               float* __restrict of_state, int64_t batch, int64_t time, int64_t channels,
                               int64_t modes) {
    const int64_t size = modes * SLICE;
#pragma omp parallel for if (batch * time * channels * modes > FEW)
    for (int64_t row = 0; row < batch; ++row) {
        float* memory = new float[(2 * time + 4) * size]();
        float *states = memory, *decays = memory + (time + 1) * size, *of_h = decays + time * size;
        float *of_rate = of_h + size, *zeros = of_rate + size;
        for (int64_t first = 0; first < channels; first += SLICE) {
            const int64_t count = least(SLICE, channels - first);
            for (int64_t n = 0; n < modes; ++n) {
                const int64_t at = (row * modes + n) * channels + first;
                std::memcpy(states + n * SLICE, state + at, count * sizeof(float));
                std::memcpy(of_h + n * SLICE, of_last + at, count * sizeof(float));
            }
            std::memset(of_rate, 0, size * sizeof(float));
            for (int64_t t = 0; t < time; ++t) {
                const int64_t step = row * time + t, at = step * channels + first;
                const float* before = reset && reset[step] ? zeros : states + t * size;
                advance(dt + at, x + at, write + step * modes, rates + first, before, decays + t * size,
                        states + (t + 1) * size, modes, channels, count);
            }
            for (int64_t t = time - 1; t >= 0; --t) {
                const int64_t step = row * time + t, at = step * channels + first;
                const bool marked = reset && reset[step];
                float along_dt[SLICE] = {}, along_x[SLICE] = {};
                for (int64_t n = 0; n < modes; ++n) {
                    const float *h = states + (t + 1) * size + n * SLICE, *before = marked ? zeros : h - size;
                    const float *decay = decays + t * size + n * SLICE, *rate = rates + n * channels + first;
                    float *g = of_h + n * SLICE, *r = of_rate + n * SLICE;
                    const float w = write[step * modes + n], c = read[step * modes + n];
                    float of_w = 0.0f, of_c = 0.0f;
#pragma omp simd reduction(+ : of_w, of_c)
                    for (int64_t d = 0; d < count; ++d) {
                        const float of_y = gradient[at + d], step_size = dt[at + d], in = x[at + d];
                        of_c += of_y * h[d];
                        const float total = g[d] + c * of_y;
                        const float of_decay = total * decay[d] * before[d];
                        along_dt[d] += total * w * in - of_decay * rate[d];
                        along_x[d] += total * w;
                        of_w += total * step_size * in;
                        r[d] -= of_decay * step_size;
                        g[d] = total * decay[d];
                    }
                    of_write[step * modes + n] += of_w;
                    of_read[step * modes + n] += of_c;
                }
#pragma omp simd
                for (int64_t d = 0; d < count; ++d) {
                    of_dt[at + d] = along_dt[d];
                    of_x[at + d] = along_x[d] * dt[at + d];
                }
                if (marked) std::memset(of_h, 0, size * sizeof(float));
            }
            for (int64_t n = 0; n < modes; ++n) {
                const int64_t at = (row * modes + n) * channels + first;
                std::memcpy(of_state + at, of_h + n * SLICE, count * sizeof(float));
                std::memcpy(of_rates + at, of_rate + n * SLICE, count * sizeof(float));
            }
        }
        delete[] memory;
    }
}

}  // namespace
