#include "json/plain_number.hpp"

#include <array>
#include <climits>

#if defined(__x86_64__) && defined(__GNUC__)
#define WSPOOL_X86_64
#include <immintrin.h>
#endif

namespace wspool::json {

#ifdef WSPOOL_X86_64

namespace {

using row_t = std::array<char, plain_number::longest>;

constexpr std::size_t rows = plain_number::longest + 1;

/// Row n: the places of the last n bytes are set.
constexpr std::array<row_t, rows> make_masks() {
    std::array<row_t, rows> masks{};
    for (std::size_t n = 0; n < rows; ++n)
        for (std::size_t i = 0; i < n; ++i) masks[n][plain_number::longest - 1 - i] = '\xFF';
    return masks;
}

/// Row n closes the gap at place n: what is before it moves one place on, and a zero comes in.
constexpr std::array<row_t, rows> make_moves() {
    std::array<row_t, rows> moves{};
    for (std::size_t n = 0; n < rows; ++n)
        for (std::size_t i = 0; i < plain_number::longest; ++i)
            moves[n][i] = static_cast<char>(n == plain_number::longest || i > n ? i
                                            : i == 0                            ? 0x80
                                                                                : i - 1);
    return moves;
}

alignas(16) constexpr std::array<row_t, rows> last_bytes = make_masks();
alignas(16) constexpr std::array<row_t, rows> gap_closed = make_moves();

__attribute__((target("sse4.1"))) inline __m128i load(const row_t& row) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(row.data()));
}

}  // namespace

bool plain_number::can_read() noexcept {
    static const bool can = __builtin_cpu_supports("sse4.1") != 0;
    return can;
}

// Pairs, then fours, then eights, all at once (Lemire, "Quickly parsing eight digits", 2018; Muła,
// "SIMD-ized parsing of series of integers", 2018).
__attribute__((target("sse4.1"))) bool plain_number::read(const char* end,
                                                          std::size_t size) noexcept {
    if (size - 1 >= longest) return false;
    const auto* const from = reinterpret_cast<const __m128i*>(end - longest);
    const __m128i mask = load(last_bytes[size]);
    const __m128i text = _mm_and_si128(_mm_loadu_si128(from), mask);
    const auto points =
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8('.'))));
    const auto place = static_cast<unsigned>(__builtin_ctz(points | (1U << longest)));
    __m128i values = _mm_and_si128(_mm_sub_epi8(text, _mm_set1_epi8('0')), mask);
    values = _mm_shuffle_epi8(values, load(gap_closed[place]));
    const __m128i most = _mm_set1_epi8(9);
    const __m128i fits = _mm_cmpeq_epi8(_mm_max_epu8(values, most), most);
    if (_mm_movemask_epi8(fits) != 0xFFFF || (points != 0 && size == 1)) return false;
    const __m128i pairs = _mm_maddubs_epi16(values, _mm_set1_epi16(10 | (1 << CHAR_BIT)));
    const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | (1 << 16)));
    const __m128i packed = _mm_packus_epi32(fours, fours);
    const __m128i eights = _mm_madd_epi16(packed, _mm_set1_epi32(10'000 | (1 << 16)));
    const auto both = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
    digits = (both & 0xFFFFFFFFU) * 100'000'000 + (both >> 32U);
    has_point = points != 0;
    decimals = has_point ? static_cast<unsigned>(longest) - 1 - place : 0;
    return true;
}

#else

bool plain_number::can_read() noexcept { return false; }

bool plain_number::read(const char* /*end*/, std::size_t /*size*/) noexcept { return false; }

#endif

}  // namespace wspool::json
