// The elementwise passes of a training update on a CPU, each over its memory once: see the functions at the end, and
// the Python module beside this file, which compiles it and says what each computes.
//
// P is the type that matrix products are given and give, float or bfloat16; all else is in float. Sums are taken of
// blocks of rows, whatever the number of threads, so that no result depends on it.

#include <cstdint>
#include <cstring>

namespace {

struct bfloat16 {
    uint16_t bits;
};

inline float widened(float x) { return x; }

inline float widened(bfloat16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float y;
    std::memcpy(&y, &bits, sizeof y);
    return y;
}

inline void narrow(float x, float& out) { out = x; }

// to the nearest, to even between two; NaN stays NaN
inline void narrow(float x, bfloat16& out) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    out.bits = static_cast<uint16_t>(x == x ? rounded : 0x7fc0u);
}

// e^x for |x| <= 87, beyond which it is e^87 or e^-87; relative error below 2e-7. x = n log 2 + r, and a polynomial for
// e^r, which GCC and Clang can compute of many numbers at once, as they cannot call the library's.
inline float exponential(float x) {
    x = x > 87.0f ? 87.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float n = __builtin_rintf(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

constexpr int64_t TILE = 128;   // channels that one thread takes through time
constexpr int64_t BLOCK = 64;   // rows whose sums are taken together
constexpr int64_t FEW = 16384;  // numbers for which a second thread does not pay

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// y = k * x, where k is 0 for what is dropped and `scale` for the rest; nothing drawn: y = x.
template <class P>
inline void drop(const float* x, const uint8_t* drawn, int32_t dropped, float scale, P* y, int64_t count) {
    if (drawn) {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) narrow(drawn[c] >= dropped ? scale * x[c] : 0.0f, y[c]);
    } else {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) narrow(x[c], y[c]);
    }
}

// y = x + k * branch
inline void add_dropped(const float* x, const float* branch, const uint8_t* drawn, int32_t dropped, float scale,
                        float* y, int64_t count) {
    if (drawn) {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) y[c] = x[c] + (drawn[c] >= dropped ? scale * branch[c] : 0.0f);
    } else {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) y[c] = x[c] + branch[c];
    }
}

// What a step's gates make of it: GATES = 1 is minGRU's, 2 is minLSTM's, the forget gate first.
struct Step {
    float value, write, kept;
};

template <int GATES, class P>
inline Step step_of(const P* projected, const float* bias, int64_t size) {
    const float candidate = widened(projected[0]) + bias[0];
    const float below = sigmoid(candidate), above = candidate + 0.5f;
    const float value = above > below ? above : below;
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
           const float* __restrict initial, const uint8_t* __restrict reset, float* __restrict h,
           const float* __restrict x, const uint8_t* __restrict drawn, int32_t dropped, float* __restrict y,
           int64_t batch, int64_t time, int64_t size) {
    const int64_t tiles = (size + TILE - 1) / TILE, columns = (1 + GATES) * size;
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (batch * time * size > FEW)
    for (int64_t task = 0; task < batch * tiles; ++task) {
        const int64_t row = task / tiles, first = task % tiles * TILE, count = least(TILE, size - first);
        const float* start = initial + row * size + first;
        float carried[TILE];
        std::memcpy(carried, state + row * size + first, count * sizeof(float));
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
                    const float* __restrict initial, const uint8_t* __restrict reset, const float* __restrict h,
                    const float* __restrict gradient, const uint8_t* __restrict drawn, int32_t dropped,
                    const float* __restrict of_last, P* __restrict of_projected, float* __restrict of_bias,
                    float* __restrict of_state, float* __restrict of_initial, int64_t batch, int64_t time, int64_t size) {
    const int64_t tiles = (size + TILE - 1) / TILE, columns = (1 + GATES) * size;
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (batch * time * size > FEW)
    for (int64_t task = 0; task < batch * tiles; ++task) {
        const int64_t row = task / tiles, first = task % tiles * TILE, count = least(TILE, size - first);
        const float* start = initial + row * size + first;
        float carried[TILE] = {}, of_start[TILE] = {}, sums[1 + GATES][TILE] = {}, of_h[TILE];
        if (of_last) std::memcpy(carried, of_last + row * size + first, count * sizeof(float));
        for (int64_t t = time - 1; t >= 0; --t) {
            const int64_t step_at = row * time + t, at = step_at * size + first;
            const P* in = projected + step_at * columns + first;
            P* out = of_projected + step_at * columns + first;
            const bool marked = reset && reset[step_at];
            const float* before = marked ? start : t ? h + at - size : state + row * size + first;
            drop(gradient + at, drawn ? drawn + at : nullptr, dropped, scale, of_h, count);
#pragma omp simd
            for (int64_t d = 0; d < count; ++d) {
                const Step step = step_of<GATES>(in + d, bias + first + d, size);
                const float total = of_h[d] + carried[d];
                carried[d] = total * step.kept;
                const float of_value = total * step.write;
                // the slope of g is 1 where v >= 0.5, and elsewhere the sigmoid's
                const float slope = step.value >= 0.5f ? 1.0f : step.value - step.value * step.value;
                const float of_candidate = of_value * slope;
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

template <class P>
void rectify(P* __restrict x, const float* __restrict bias, int64_t rows, int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t row = 0; row < rows; ++row) {
        P* at = x + row * columns;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c) {
            const float y = widened(at[c]) + bias[c];
            narrow(y < 0.0f ? 0.0f : y, at[c]);
        }
    }
}

template <class P>
void rectify_backward(P* __restrict gradient, const P* __restrict y, float* __restrict sums, int64_t rows,
                      int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t first = 0; first < rows; first += BLOCK) {
        float* sum = sums + first / BLOCK * columns;
        std::memset(sum, 0, columns * sizeof(float));
        for (int64_t row = first; row < least(first + BLOCK, rows); ++row) {
            P* at = gradient + row * columns;
            const P* value = y + row * columns;
#pragma omp simd
            for (int64_t c = 0; c < columns; ++c) {
                const float g = widened(value[c]) > 0.0f ? widened(at[c]) : 0.0f;
                narrow(g, at[c]);
                sum[c] += g;
            }
        }
    }
}

template <class P>
void add_branch(const float* __restrict x, const P* __restrict branch, const float* __restrict bias,
                const uint8_t* __restrict drawn, int32_t dropped, float* __restrict y, int64_t rows, int64_t columns) {
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t first = 0; first < columns; first += TILE) {
            const int64_t at = row * columns + first, count = least(TILE, columns - first);
            float wide[TILE];
#pragma omp simd
            for (int64_t c = 0; c < count; ++c) wide[c] = widened(branch[at + c]) + (bias ? bias[first + c] : 0.0f);
            add_dropped(x + at, wide, drawn ? drawn + at : nullptr, dropped, scale, y + at, count);
        }
    }
}

template <class P>
void add_branch_backward(const float* __restrict gradient, const uint8_t* __restrict drawn, int32_t dropped,
                         P* __restrict of_branch, float* __restrict sums, int64_t rows, int64_t columns) {
    const float scale = 256.0f / (256 - dropped);
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t first = 0; first < rows; first += BLOCK) {
        float* sum = sums + first / BLOCK * columns;
        std::memset(sum, 0, columns * sizeof(float));
        for (int64_t row = first; row < least(first + BLOCK, rows); ++row) {
            const int64_t at = row * columns;
            drop(gradient + at, drawn ? drawn + at : nullptr, dropped, scale, of_branch + at, columns);
#pragma omp simd
            for (int64_t c = 0; c < columns; ++c) sum[c] += widened(of_branch[at + c]);
        }
    }
}

template <class P>
void normalize(const float* __restrict x, const float* __restrict scale, const float* __restrict shift, float epsilon,
               P* __restrict out, float* __restrict mean, float* __restrict deviation, int64_t rows, int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t row = 0; row < rows; ++row) {
        const float* at = x + row * columns;
        float sum = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < columns; ++c) sum += at[c];
        const float middle = sum / columns;
#pragma omp simd reduction(+ : squares)
        for (int64_t c = 0; c < columns; ++c) squares += (at[c] - middle) * (at[c] - middle);
        const float factor = 1.0f / __builtin_sqrtf(squares / columns + epsilon);
        mean[row] = middle, deviation[row] = factor;
#pragma omp simd
        for (int64_t c = 0; c < columns; ++c)
            narrow((at[c] - middle) * factor * scale[c] + shift[c], out[row * columns + c]);
    }
}

template <class P>
void normalize_backward(const P* __restrict gradient, const float* __restrict x, const float* __restrict mean,
                        const float* __restrict deviation, const float* __restrict scale,
                        const float* __restrict beside, float* __restrict of_x, float* __restrict sums, int64_t rows,
                        int64_t columns) {
#pragma omp parallel for if (rows * columns > FEW)
    for (int64_t first = 0; first < rows; first += BLOCK) {
        float* of_scale = sums + first / BLOCK * 2 * columns;
        float* of_shift = of_scale + columns;
        std::memset(of_scale, 0, 2 * columns * sizeof(float));
        for (int64_t row = first; row < least(first + BLOCK, rows); ++row) {
            const int64_t at = row * columns;
            const float middle = mean[row], factor = deviation[row];
            float sum = 0.0f, along = 0.0f;
#pragma omp simd reduction(+ : sum, along)
            for (int64_t c = 0; c < columns; ++c) {
                const float g = widened(gradient[at + c]), normal = (x[at + c] - middle) * factor;
                of_scale[c] += g * normal;
                of_shift[c] += g;
                sum += g * scale[c];
                along += g * scale[c] * normal;
            }
            sum /= columns, along /= columns;
#pragma omp simd
            for (int64_t c = 0; c < columns; ++c) {
                const float g = widened(gradient[at + c]) * scale[c], normal = (x[at + c] - middle) * factor;
                of_x[at + c] = beside[at + c] + factor * (g - sum - normal * along);
            }
        }
    }
}

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
                               float* __restrict of_state, int64_t batch, int64_t time, int64_t channels, int64_t modes) {
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

// What Python looks up: a pointer to each function, under its name and that of P.
#define EXPORT(name, ...)                     \
    auto name##_float32 = __VA_ARGS__ float>; \
    auto name##_bfloat16 = __VA_ARGS__ bfloat16>;

extern "C" {
EXPORT(mingru, gated<1, )
EXPORT(mingru_backward, gated_backward<1, )
EXPORT(minlstm, gated<2, )
EXPORT(minlstm_backward, gated_backward<2, )
EXPORT(rectify, rectify<)
EXPORT(rectify_backward, rectify_backward<)
EXPORT(add_branch, add_branch<)
EXPORT(add_branch_backward, add_branch_backward<)
EXPORT(normalize, normalize<)
EXPORT(normalize_backward, normalize_backward<)
auto selective = scan_selectively;
auto selective_backward = scan_selectively_backward;
}
