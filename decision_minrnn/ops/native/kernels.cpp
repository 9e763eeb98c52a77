// What a training update on a CPU computes: see the functions at the end, and the Python modules beside this file,
// which compile it and say what each computes.
//
// P is the type of what matrix products are given, float or bfloat16; all else is in float. Sums are taken of blocks of
// rows, whatever the number of threads, so that no result depends on it.

#include "branches.h"
#include "gated.h"
#include "products.h"
#include "selective.h"

namespace {

// Multiplies by this function from now on, if it gives a small product right; says whether it does. Where the processor
// or its build has no such product, torch's throws.
template <class P>
int32_t use_product(Product<P> function, void (*releasing)(bool)) {
    const float in[] = {1, 2, 3, 4, 5, 6, 7, 8}, expected[] = {19, 22, 43, 50};
    float out[4] = {};
    P a[4], b[4];
    for (int i = 0; i < 4; ++i) narrow(in[i], a[i]);
    pack(in + 4, b, 2, 2);
    try {
        product<P> = uncounted<P> = function, release_thread = releasing;
        multiply(a, b, out, 2, 2, 2);
        release(a);
    } catch (...) {
        return false;
    }
    return std::memcmp(out, expected, sizeof out) == 0;
}

// Counts the time of products from now on, or no longer; gives what was counted, in nanoseconds.
void count_time(int32_t on, int64_t* found) {
    product<float> = on ? counted<float> : uncounted<float>;
    product<bfloat16> = on ? counted<bfloat16> : uncounted<bfloat16>;
    *found = nanoseconds.exchange(0);
}

}  // namespace

// What Python looks up: a pointer to each function, under its name and that of P.
#define EXPORT(name, ...)                     \
    auto name##_float32 = __VA_ARGS__ float>; \
    auto name##_bfloat16 = __VA_ARGS__ bfloat16>;

extern "C" {
EXPORT(mingru, gated_scan<1, )
EXPORT(mingru_backward, gated_scan_backward<1, )
EXPORT(minlstm, gated_scan<2, )
EXPORT(minlstm_backward, gated_scan_backward<2, )
EXPORT(add_branch, add_branch<)
EXPORT(add_branch_backward, add_branch_backward<)
EXPORT(mingru_branch, gated_branch<1, )
EXPORT(mingru_branch_backward, gated_branch_backward<1, )
EXPORT(minlstm_branch, gated_branch<2, )
EXPORT(minlstm_branch_backward, gated_branch_backward<2, )
EXPORT(feed_forward, feed_forward<)
EXPORT(feed_forward_backward, feed_forward_backward<)
EXPORT(use_product, use_product<)
auto count_products = count_time;
auto selective = scan_selectively;
auto selective_backward = scan_selectively_backward;
}
