#include "json/layout.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace wspool::json {
namespace {

constexpr std::size_t most_layouts = 4;
// After so many in a row nothing is tried any more until something has been learned.
constexpr unsigned most_misses = 64;
// Learning costs as much as some walks: the more has been learned, the seldomer.
constexpr unsigned longest_wait = 256;

}  // namespace

#if defined(__SSE2__)

namespace {

constexpr std::size_t most_values = 64;
constexpr std::size_t most_between = 4096;  // bytes

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

bool is_between(char c) noexcept {
    return is_space(c) || c == '{' || c == '}' || c == ':' || c == ',';
}

/// The first quote, backslash or control character from here, one byte after the other.
const char* string_stop(const char* at, const char* end) noexcept {
    while (at != end && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= ' ') ++at;
    return at;
}

/// Sixteen bytes. The functions that return a number return a bit for each, the first the lowest.
using bytes_t = __m128i;

inline bytes_t load(const char* at) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

inline unsigned bits_of(bytes_t bytes) noexcept {
    return static_cast<unsigned>(_mm_movemask_epi8(bytes));
}

inline unsigned equal(bytes_t bytes, const char* others) noexcept {
    return bits_of(_mm_cmpeq_epi8(bytes, load(others)));
}

/// Quotes, backslashes, control characters; and spaces and exclamation marks, which are between.
inline unsigned string_stops(bytes_t bytes) noexcept {
    const bytes_t low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8('"')), bytes);
    return bits_of(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
}

inline unsigned no_digits(bytes_t bytes) noexcept {
    const bytes_t values = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    return bits_of(_mm_cmpeq_epi8(_mm_max_epu8(values, _mm_set1_epi8(10)), values));
}

/// The quote that ends the string whose first byte this is; null if there is none, and for one with
/// a backslash or a control character.
inline const char* string_end(const char* at, const char* end) noexcept {
    for (; end - at >= 16; at += 16) {
        const unsigned stops = string_stops(load(at));
        if (stops == 0) continue;
        at += __builtin_ctz(stops);
        if (*at == '"') return at;
        break;
    }
    at = string_stop(at, end);
    return at != end && *at == '"' ? at : nullptr;
}

/// The end of a number or word; `next` comes behind it. Null if there is none.
inline const char* value_end(const char* begin, const char* end, char next) noexcept {
    if (end - begin >= 16) {
        const unsigned others = no_digits(load(begin));
        if (others > 1 && (*begin != '0' || (others & 2U) != 0)) {
            const char* const at = begin + __builtin_ctz(others);
            if (*at == next && at != begin) return at;
        }
    }
    return begin == end ? nullptr : scalar_end(begin, end);
}

}  // namespace

void layout::add(std::string_view between, int slot, kind_e kind) {
    step next;
    next.begin = static_cast<std::uint32_t>(between_.size());
    next.size = static_cast<std::uint32_t>(between.size());
    next.slot = slot;
    next.kind = kind;
    between_ += between;
    const std::size_t first = std::min(between.size(), sixteen);
    std::copy_n(between.begin(), first, next.first.begin());
    next.mask = (1U << first) - 1;
    steps_.push_back(next);
}

bool layout::learn(std::string_view text, const std::vector<slice>& values, array_skipper* arrays) {
    steps_.clear();
    between_.clear();
    if (text.find('\\') != std::string_view::npos) return false;
    const char* const end = text.data() + text.size();
    std::size_t wanted = 0;
    for (const slice& value : values) wanted += value.is_missing() ? 0 : 1;
    const char* begin = text.data();  // of what is between two values
    unsigned depth = 0;
    for (const char* at = begin; at != end;) {
        if (is_between(*at)) {
            if (*at == '{') ++depth;
            if (*at == '}') --depth;
            ++at;
            continue;
        }
        if (steps_.size() == most_values || between_.size() > most_between) return false;
        kind_e kind = kind_e::scalar;
        const char* last = nullptr;
        if (*at == '[') {
            if (arrays == nullptr || depth > array_skipper::most_around) return false;
            kind = kind_e::array;
            last = arrays->skip(at, end);
            if (last == nullptr) return false;
        } else if (*at == '"') {
            kind = kind_e::string;
            last = string_stop(at + 1, end);
        } else {
            last = scalar_end(at, end);
        }
        const char* next = kind == kind_e::string ? last + 1 : last;
        while (next != end && is_space(*next)) ++next;
        if (kind == kind_e::string && next != end && *next == ':') {  // the name of a member
            at = next;
            continue;
        }
        const auto is_here = [at](const slice& value) { return value.data == at; };
        const auto found = std::find_if(values.begin(), values.end(), is_here);
        const bool is_wanted = found != values.end();
        wanted -= is_wanted ? 1 : 0;
        const char* const value = kind == kind_e::scalar ? at : at + 1;
        add({begin, static_cast<std::size_t>(value - begin)},
            is_wanted ? static_cast<int>(found - values.begin()) : plan::none, kind);
        begin = last;
        at = kind == kind_e::string ? last + 1 : last;
    }
    add({begin, static_cast<std::size_t>(end - begin)}, plan::none, kind_e::scalar);
    return wanted == 0;  // else one is an object
}

/// Whether `next` is here, where there may be fewer bytes than are read at once.
bool layout::is_at_slowly(const step& next, const char* at, const char* end) const noexcept {
    return static_cast<std::size_t>(end - at) >= next.size &&
           std::memcmp(at, between_.data() + next.begin, next.size) == 0;
}

inline bool layout::walk(const char* at, const char* end, slice* values,
                         array_skipper* arrays) const {
    const step* const last = &steps_.back();
    for (const step* next = steps_.data();; ++next) {
        const bool is_short = next->size <= sixteen;
        if (is_short && end - at >= static_cast<std::ptrdiff_t>(sixteen)) {
            if ((~equal(load(at), next->first.data()) & next->mask) != 0) return false;
        } else if (!is_at_slowly(*next, at, end)) {
            return false;
        }
        at += next->size;
        if (next == last) return at == end;
        const char* begin = at;
        if (next->kind == kind_e::string) {
            at = string_end(at, end);
            if (at == nullptr) return false;
            if (next->slot != plan::none)
                values[next->slot] = {begin - 1, static_cast<std::uint32_t>(at - begin) + 2};
            continue;
        }
        if (next->kind == kind_e::array)
            at = arrays->skip(--begin, end);
        else
            at = value_end(at, end, next[1].first.front());
        if (at == nullptr) return false;
        if (next->slot != plan::none)
            values[next->slot] = {begin, static_cast<std::uint32_t>(at - begin)};
    }
}

bool layout::match(std::string_view text, slice* values, array_skipper* arrays) const {
    if (steps_.empty() || text.empty()) return false;
    if (walk(text.data(), text.data() + text.size(), values, arrays)) return true;
    for (const step& one : steps_)
        if (one.slot != plan::none) values[one.slot] = slice();
    return false;
}

#else

// Without vectors the walk over the message is not slower.
bool layout::learn(std::string_view /*text*/, const std::vector<slice>& /*values*/,
                   array_skipper* /*arrays*/) {
    return false;
}

bool layout::match(std::string_view /*text*/, slice* /*values*/, array_skipper* /*arrays*/) const {
    return false;
}

#endif

bool layouts::match(std::string_view text, slice* values) {
    if (misses_ >= most_misses) return false;
    for (std::size_t i = 0; i < known_.size(); ++i) {
        known& one = known_[last_];
        if (one.how.match(text, values, &arrays_)) {
            ++one.hits;
            misses_ = 0;
            return true;
        }
        if (++last_ == known_.size()) last_ = 0;
    }
    return false;
}

void layouts::missed(std::string_view text, const std::vector<slice>& values) {
    ++misses_;
    if (until_learning_ != 0) {
        --until_learning_;
        return;
    }
    until_learning_ = next_wait_;
    next_wait_ = std::min(next_wait_ * 2, longest_wait);
    layout seen;
    if (!seen.learn(text, values, may_pass_arrays_ ? &arrays_ : nullptr)) return;
    misses_ = 0;
    if (known_.size() < most_layouts) {
        last_ = known_.size();
        known_.emplace_back();
    } else {
        const auto less = [](const known& a, const known& b) { return a.hits < b.hits; };
        const auto least = std::min_element(known_.begin(), known_.end(), less);
        last_ = static_cast<std::size_t>(least - known_.begin());
        for (known& one : known_) one.hits /= 2;
    }
    known_[last_] = {std::move(seen), 0};
}

}  // namespace wspool::json
