#include "json/structure.hpp"

#include <array>
#include <cstring>

#include <simdjson.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define WSPOOL_X86_64
#include <immintrin.h>
#endif

namespace wspool::json {
namespace {

/// What the bytes of a block are, strings not considered.
struct raw_t {
    std::uint64_t quote, backslash, comma, colon;
    std::uint64_t open, close;  // [ {, ] }
    std::uint64_t curly;        // of these; says nothing of others
    std::uint64_t blank;        // up to 0x20
};

/// How a sequence of up to eight brackets goes up and down; a set bit closes. For each of them
/// the least height, seen from the beginning, with those that are not there opening.
constexpr auto make_least_heights() {
    std::array<signed char, 256> least{};
    for (unsigned sequence = 0; sequence < least.size(); ++sequence) {
        int height = 0;
        int lowest = 0;
        for (unsigned i = 0; i < 8; ++i) {
            height += ((sequence >> i) & 1U) != 0 ? -1 : 1;
            if (height < lowest) lowest = height;
        }
        least[sequence] = static_cast<signed char>(lowest);
    }
    return least;
}

constexpr auto least_heights = make_least_heights();

/// Whether one of these bytes is a control character.
bool has_control(const char* text, std::uint64_t which) noexcept {
    for (; which != 0; which &= which - 1)
        if (text[__builtin_ctzll(which)] != ' ') return true;
    return false;
}

/// One block adds 64 at the most, so that together with what is around it is below max_depth.
constexpr int most_skipped_depth = 900;

namespace portable {

#define WSPOOL_TARGET

inline raw_t classify(const char* text, std::size_t left) {
    raw_t raw{};
    const std::size_t count = left < 64 ? left : 64;
    for (std::size_t i = 0; i < count; ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const auto bit = [i](bool set) { return static_cast<std::uint64_t>(set) << i; };
        raw.quote |= bit(c == '"');
        raw.backslash |= bit(c == '\\');
        raw.comma |= bit(c == ',');
        raw.colon |= bit(c == ':');
        raw.open |= bit((c | 0x20) == '{');
        raw.close |= bit((c | 0x20) == '}');
        raw.curly |= bit((c & 0x20) != 0);
        raw.blank |= bit(c <= 0x20);
    }
    return raw;
}

inline std::uint64_t prefix_xor(std::uint64_t set) {
    for (unsigned shift = 1; shift < 64; shift *= 2) set ^= set << shift;
    return set;
}

inline bool sinks_below(std::uint64_t brackets, std::uint64_t closes, int depth) {
    for (; brackets != 0; brackets &= brackets - 1) {
        depth += (closes & brackets & (~brackets + 1)) != 0 ? -1 : 1;
        if (depth <= 0) return true;
    }
    return false;
}

#include "json/scan.inc"

#undef WSPOOL_TARGET

}  // namespace portable

#ifdef WSPOOL_X86_64

/// Whether a height that begins at `depth` comes down to zero. The brackets are gathered side by
/// side first.
__attribute__((target("bmi,bmi2,popcnt"))) inline bool sinks_with_pext(std::uint64_t brackets,
                                                                       std::uint64_t closes,
                                                                       int depth) {
    std::uint64_t sequence = _pext_u64(closes, brackets);
    for (int count = __builtin_popcountll(brackets); count > 0; count -= 8, sequence >>= 8U) {
        const auto eight = static_cast<unsigned char>(sequence);
        if (depth + least_heights[eight] <= 0) return true;
        depth += 8 - 2 * __builtin_popcountll(eight);
    }
    return false;
}

namespace avx2 {

#define WSPOOL_TARGET __attribute__((target("avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))

WSPOOL_TARGET inline std::uint64_t join(__m256i low, __m256i high) {
    const auto first = static_cast<std::uint32_t>(_mm256_movemask_epi8(low));
    const auto second = static_cast<std::uint32_t>(_mm256_movemask_epi8(high));
    return first | (std::uint64_t{second} << 32U);
}

WSPOOL_TARGET inline raw_t classify(const char* text, std::size_t left) {
    alignas(32) std::array<char, 64> rest;
    if (left < 64) {
        rest.fill(0);
        std::memcpy(rest.data(), text, left);
        text = rest.data();
    }
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32));
    const __m256i bit = _mm256_set1_epi8(0x20);
    const __m256i low_curly = _mm256_or_si256(low, bit);
    const __m256i high_curly = _mm256_or_si256(high, bit);
    raw_t raw;
#define WSPOOL_EQUAL(low_part, high_part, c)               \
    join(_mm256_cmpeq_epi8(low_part, _mm256_set1_epi8(c)), \
         _mm256_cmpeq_epi8(high_part, _mm256_set1_epi8(c)))
    raw.quote = WSPOOL_EQUAL(low, high, '"');
    raw.backslash = WSPOOL_EQUAL(low, high, '\\');
    raw.comma = WSPOOL_EQUAL(low, high, ',');
    raw.colon = WSPOOL_EQUAL(low, high, ':');
    raw.open = WSPOOL_EQUAL(low_curly, high_curly, '{');
    raw.close = WSPOOL_EQUAL(low_curly, high_curly, '}');
#undef WSPOOL_EQUAL
    raw.curly = join(_mm256_slli_epi16(low, 2), _mm256_slli_epi16(high, 2));
    raw.blank = join(_mm256_cmpeq_epi8(_mm256_max_epu8(low, bit), bit),
                     _mm256_cmpeq_epi8(_mm256_max_epu8(high, bit), bit));
    return raw;
}

WSPOOL_TARGET inline std::uint64_t prefix_xor(std::uint64_t set) {
    const __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, static_cast<std::int64_t>(set)),
                                                 _mm_set1_epi8('\xFF'), 0);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

WSPOOL_TARGET inline bool sinks_below(std::uint64_t brackets, std::uint64_t closes, int depth) {
    return sinks_with_pext(brackets, closes, depth);
}

#include "json/scan.inc"

#undef WSPOOL_TARGET

}  // namespace avx2

namespace avx512 {

#define WSPOOL_TARGET \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx2,pclmul,bmi,bmi2,popcnt,lzcnt")))

WSPOOL_TARGET inline raw_t classify(const char* text, std::size_t left) {
    const __mmask64 there = left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
    const __m512i bytes = _mm512_maskz_loadu_epi8(there, text);
    const __m512i bit = _mm512_set1_epi8(0x20);
    const __m512i curly = _mm512_or_si512(bytes, bit);
    raw_t raw;
    raw.quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
    raw.backslash = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
    raw.comma = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(','));
    raw.colon = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(':'));
    raw.open = _mm512_cmpeq_epi8_mask(curly, _mm512_set1_epi8('{'));
    raw.close = _mm512_cmpeq_epi8_mask(curly, _mm512_set1_epi8('}'));
    raw.curly = _mm512_test_epi8_mask(bytes, bit);
    raw.blank = _mm512_cmple_epu8_mask(bytes, bit);
    return raw;
}

WSPOOL_TARGET inline std::uint64_t prefix_xor(std::uint64_t set) {
    const __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, static_cast<std::int64_t>(set)),
                                                 _mm_set1_epi8('\xFF'), 0);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

WSPOOL_TARGET inline bool sinks_below(std::uint64_t brackets, std::uint64_t closes, int depth) {
    return sinks_with_pext(brackets, closes, depth);
}

#include "json/scan.inc"

#undef WSPOOL_TARGET

}  // namespace avx512

#endif  // WSPOOL_X86_64

/// Of the blocks that are kept from message to message.
constexpr std::size_t most_kept = (std::size_t{4} << 20U) / sizeof(block);

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

bool structure::index(std::string_view text, bool is_utf8) {
    text_ = text;
    constexpr std::size_t largest = std::size_t{1} << 31U;  // slices count in 32 bits
    // A byte order mark is no part of JSON (RFC 8259 section 8.1).
    if (text.empty() || text.front() == '\xEF' || text.size() >= largest) return false;
    const std::size_t count = (text.size() + bits - 1) / bits;
    if (blocks_.size() < count || (blocks_.size() > most_kept && count <= most_kept)) {
        blocks_ = {};
        blocks_.resize(count);
    }
    found_ = kernel_.scan(text.data(), text.size(), blocks_.data());
    if (found_.is_open || found_.has_control) return false;
    return is_utf8 || simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace wspool::json
