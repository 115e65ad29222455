#include "json/kernels.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#define WSPOOL_X86_64
#include <immintrin.h>
#endif

namespace wspool::json {
namespace {

/// Whether a depth of at least 1 may come down to zero among these brackets: that takes two that
/// close, one after the other, or one that closes where the depth is 1.
inline bool may_end(std::uint64_t brackets, std::uint64_t closes, int depth) noexcept {
    const std::uint64_t first = brackets & (~brackets + 1);
    if (depth == 1 && (closes & first) != 0) return true;
    // A carry from behind each that closes runs to the next bracket.
    const std::uint64_t after_close = ((closes << 1U) + ~brackets) & brackets;
    return (after_close & closes) != 0;
}

/// One block adds 64 at the most, so that together with what is around it is below max_depth.
constexpr int most_skipped_depth = 900;

namespace portable {

#define WSPOOL_TARGET

struct bytes_t {
    const char* text;
    std::size_t count;
};

inline bytes_t load(const char* text, std::size_t left) { return {text, left < 64 ? left : 64}; }

template <class Test>
inline std::uint64_t where(bytes_t bytes, Test test) {
    std::uint64_t set = 0;
    for (std::size_t i = 0; i < bytes.count; ++i)
        set |= static_cast<std::uint64_t>(test(static_cast<unsigned char>(bytes.text[i]))) << i;
    return set;
}

inline std::uint64_t equal(bytes_t bytes, char c, std::uint64_t within) {
    return within & where(bytes, [c](unsigned char b) { return b == c; });
}

inline std::uint64_t below(bytes_t bytes, char c) {
    return where(bytes, [c](unsigned char b) { return b < static_cast<unsigned char>(c); });
}

inline std::uint64_t prefix_xor(std::uint64_t set) {
    for (unsigned shift = 1; shift < 64; shift *= 2) set ^= set << shift;
    return set;
}

#include "json/scan.inc"
#include "json/skip_array.inc"

#undef WSPOOL_TARGET

}  // namespace portable

#ifdef WSPOOL_X86_64

/// The same for both of the following. Always inlined: a call costs books 7 %.
__attribute__((target("pclmul"), always_inline)) inline std::uint64_t prefix_xor(
    std::uint64_t set) {
    const __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, static_cast<std::int64_t>(set)),
                                                 _mm_set1_epi8('\xFF'), 0);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

namespace avx2 {

#define WSPOOL_TARGET __attribute__((target("avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))

WSPOOL_TARGET inline std::uint64_t join(__m256i low, __m256i high) {
    const auto first = static_cast<std::uint32_t>(_mm256_movemask_epi8(low));
    const auto second = static_cast<std::uint32_t>(_mm256_movemask_epi8(high));
    return first | (std::uint64_t{second} << 32U);
}

struct bytes_t {
    __m256i low, high;
};

WSPOOL_TARGET inline bytes_t load(const char* text, std::size_t left) {
    alignas(32) std::array<char, 64> rest;
    if (left < 64) {
        rest.fill(0);
        std::memcpy(rest.data(), text, left);
        text = rest.data();
    }
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(text)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32))};
}

WSPOOL_TARGET inline std::uint64_t equal(bytes_t bytes, char c, std::uint64_t within) {
    const __m256i all = _mm256_set1_epi8(c);
    return within & join(_mm256_cmpeq_epi8(bytes.low, all), _mm256_cmpeq_epi8(bytes.high, all));
}

WSPOOL_TARGET inline std::uint64_t below(bytes_t bytes, char c) {
    const __m256i most = _mm256_set1_epi8(static_cast<char>(c - 1));
    return join(_mm256_cmpeq_epi8(_mm256_max_epu8(bytes.low, most), most),
                _mm256_cmpeq_epi8(_mm256_max_epu8(bytes.high, most), most));
}

#include "json/scan.inc"
#include "json/skip_array.inc"

#undef WSPOOL_TARGET

}  // namespace avx2

namespace avx512 {

#define WSPOOL_TARGET \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))

using bytes_t = __m512i;

WSPOOL_TARGET inline bytes_t load(const char* text, std::size_t left) {
    if (left >= 64) return _mm512_loadu_si512(text);
    return _mm512_maskz_loadu_epi8((std::uint64_t{1} << left) - 1, text);
}

WSPOOL_TARGET inline std::uint64_t equal(bytes_t bytes, char c, std::uint64_t within) {
    return _mm512_mask_cmpeq_epi8_mask(within, bytes, _mm512_set1_epi8(c));
}

WSPOOL_TARGET inline std::uint64_t below(bytes_t bytes, char c) {
    return _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(c));
}

#include "json/scan.inc"
#include "json/skip_array.inc"

#undef WSPOOL_TARGET

}  // namespace avx512

#endif  // WSPOOL_X86_64

}  // namespace

const std::vector<kernel_t>& kernels() {
    static const std::vector<kernel_t> usable = [] {
        std::vector<kernel_t> list;
#ifdef WSPOOL_X86_64
        const bool has_bits = __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul") &&
                              __builtin_cpu_supports("popcnt");
        if (has_bits && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
            list.push_back({"AVX-512", &avx512::scan, &avx512::skip_array});
        if (has_bits && __builtin_cpu_supports("avx2"))
            list.push_back({"AVX2", &avx2::scan, &avx2::skip_array});
#endif
        list.push_back({"plain", &portable::scan, &portable::skip_array});
        return list;
    }();
    return usable;
}

}  // namespace wspool::json
