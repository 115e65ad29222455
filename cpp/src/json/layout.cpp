#include "json/layout.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace wspool::json {
namespace {

// After so many in a row nothing is tried any more until something has been learned.
constexpr unsigned most_misses = 64;
// Learning costs as much as some walks: the more has been learned, the seldomer.
constexpr unsigned longest_wait = 256;

}  // namespace

#if defined(__SSE2__)

namespace {

// Of one text.
constexpr std::size_t most_values = 64;
constexpr std::size_t most_read = 4096;  // bytes between values
// Of all: when there is more, the feed has other messages than before.
constexpr std::size_t most_steps = 1024;
constexpr std::size_t most_between = std::size_t{64} << 10U;
// That may come in one place: each is compared.
constexpr std::size_t most_siblings = 8;

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

/// What has no end of its own; all others but the opening bracket are values.
bool is_between(char c) noexcept {
    return is_space(c) || c == '{' || c == '}' || c == ']' || c == ':' || c == ',';
}

std::size_t index(int number) noexcept { return static_cast<std::size_t>(number); }

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

/// The end of a number or word; null if there is none.
inline const char* value_end(const char* begin, const char* end) noexcept {
    if (end - begin >= 16) {
        // An integer of fewer than sixteen digits, not followed by what goes on with a number.
        const unsigned others = no_digits(load(begin));
        if (others > 1 && (*begin != '0' || (others & 2U) != 0)) {
            const char* const at = begin + __builtin_ctz(others);
            if (at != begin && *at != '.' && *at != 'e' && *at != 'E') return at;
        }
    }
    return begin == end ? nullptr : scalar_end(begin, end);
}

}  // namespace

/// Takes a text apart that is JSON. False if it is of another kind, or has much between its values.
bool layouts::read(std::string_view text, const std::vector<slice>& values,
                   std::vector<seen>& steps) {
    if (text.find('\\') != std::string_view::npos) return false;
    const char* const end = text.data() + text.size();
    std::size_t wanted = 0;
    for (const slice& value : values) wanted += value.is_missing() ? 0 : 1;
    const char* begin = text.data();  // of what is between two values
    std::size_t between = 0;
    unsigned depth = 0;
    for (const char* at = begin; at != end;) {
        const char c = *at;
        if (c == '{') ++depth;
        if (c == '}' || c == ']') --depth;
        if (is_between(c)) {
            ++at;
            continue;
        }
        kind_e kind = kind_e::scalar;
        const char* last = nullptr;  // of the value, or behind it
        if (c == '[') {
            if (!plan_.rows().empty()) return false;
            const bool may_pass = !plan_.looks_into_arrays() && depth <= array_skipper::most_around;
            last = may_pass ? arrays_.skip(at, end) : nullptr;
            if (last == nullptr) {
                ++depth;
                ++at;
                continue;
            }
            kind = kind_e::array;
        } else if (c == '"') {
            kind = kind_e::string;
            last = string_stop(at + 1, end);
            const char* next = last + 1;
            while (next != end && is_space(*next)) ++next;
            if (next != end && *next == ':') {  // the name of a member
                at = next;
                continue;
            }
        } else {
            last = scalar_end(at, end);
        }
        const auto is_here = [at](const slice& value) { return value.data == at; };
        const auto found = std::find_if(values.begin(), values.end(), is_here);
        const bool is_wanted = found != values.end();
        wanted -= is_wanted ? 1 : 0;
        const char* const value = kind == kind_e::scalar ? at : at + 1;
        steps.push_back({{begin, static_cast<std::size_t>(value - begin)},
                         is_wanted ? static_cast<int>(found - values.begin()) : plan::none,
                         kind});
        between += steps.back().between.size();
        if (steps.size() > most_values || between > most_read) return false;
        begin = last;
        at = kind == kind_e::string ? last + 1 : last;
    }
    steps.push_back({{begin, static_cast<std::size_t>(end - begin)}, plan::none, kind_e::end});
    return wanted == 0 && between + steps.back().between.size() <= most_read;
}

int layouts::append(const seen& from) {
    step made;
    made.begin = between_.size();
    made.size = static_cast<std::uint32_t>(from.between.size());
    made.slot = from.slot;
    made.kind = from.kind;
    between_ += from.between;
    const std::size_t first = std::min(from.between.size(), sixteen);
    std::copy_n(from.between.begin(), first, made.first.begin());
    made.mask = (1U << first) - 1;
    steps_.push_back(made);
    return static_cast<int>(steps_.size()) - 1;
}

/// False if it cannot be told from another.
bool layouts::add(const std::vector<seen>& steps) {
    int parent = none;
    for (const seen& one : steps) {
        int found = parent == none ? first_ : steps_[index(parent)].child;
        int before = none;
        std::size_t siblings = 0;
        for (; found != none; found = steps_[index(found)].sibling) {
            before = found;
            ++siblings;
            const step& known = steps_[index(found)];
            const std::string_view between(between_.data() + known.begin, known.size);
            if (known.kind != one.kind || between != one.between) continue;
            // What is wanted depends on more than what came before: of equal names the last counts.
            if (known.slot != one.slot) return false;
            break;
        }
        if (found == none) {
            if (siblings == most_siblings) return false;
            found = append(one);
            int& link = before != none   ? steps_[index(before)].sibling
                        : parent != none ? steps_[index(parent)].child
                                         : first_;
            link = found;
        }
        parent = found;
    }
    return true;
}

void layouts::forget_all() {
    steps_.clear();
    between_.clear();
    first_ = none;
}

/// Whether `next` is here, where there may be fewer bytes than are read at once.
bool layouts::is_at_slowly(const step& next, const char* at, const char* end) const noexcept {
    return static_cast<std::size_t>(end - at) >= next.size &&
           std::memcmp(at, between_.data() + next.begin, next.size) == 0;
}

inline bool layouts::walk(const char* at, const char* end, slice* values) {
    int number = first_;
    while (true) {
        const step* next = nullptr;
        const char* value = nullptr;   // behind its quote or bracket
        const char* behind = nullptr;  // of strings the quote
        for (;; number = next->sibling) {
            if (number == none) return false;
            next = &steps_[index(number)];
            if (next->size <= sixteen && end - at >= static_cast<std::ptrdiff_t>(sixteen)) {
                if ((~equal(load(at), next->first.data()) & next->mask) != 0) continue;
            } else if (!is_at_slowly(*next, at, end)) {
                continue;
            }
            value = at + next->size;
            if (next->kind == kind_e::scalar)
                behind = value_end(value, end);
            else if (next->kind == kind_e::string)
                behind = string_end(value, end);
            else if (next->kind == kind_e::array)
                behind = arrays_.skip(value - 1, end);
            else if (value == end)
                return true;
            if (behind != nullptr) break;
        }
        at = behind;
        if (next->slot != plan::none) {
            const char* const begin = next->kind == kind_e::scalar ? value : value - 1;
            if (next->kind == kind_e::string) ++behind;
            values[next->slot] = {begin, static_cast<std::uint32_t>(behind - begin)};
        }
        number = next->child;
    }
}

bool layouts::match(std::string_view text, std::vector<slice>& values) {
    if (first_ == none || misses_ >= most_misses || text.empty()) return false;
    if (walk(text.data(), text.data() + text.size(), values.data())) {
        misses_ = 0;
        return true;
    }
    std::fill(values.begin(), values.end(), slice());
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
    std::vector<seen> steps;
    if (!read(text, values, steps)) return;
    if (steps_.size() + steps.size() > most_steps || between_.size() + most_read > most_between)
        forget_all();
    if (add(steps)) misses_ = 0;
}

#else

// Without vectors the walk over the message is not slower.
bool layouts::match(std::string_view /*text*/, std::vector<slice>& /*values*/) { return false; }

void layouts::missed(std::string_view /*text*/, const std::vector<slice>& /*values*/) {}

#endif

}  // namespace wspool::json
