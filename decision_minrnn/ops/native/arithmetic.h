// Numbers, and what all kernels do with them.

#pragma once

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

}  // namespace
