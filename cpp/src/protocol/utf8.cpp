#include "protocol/utf8.hpp"

#include <cstdint>
#include <cstring>

#include <simdjson.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define WSPOOL_X86_64
#endif
// Into functions for other targets, too.
#ifdef __GNUC__
#define WSPOOL_ALWAYS_INLINE __attribute__((always_inline)) inline
#else
#define WSPOOL_ALWAYS_INLINE inline
#endif

namespace wspool::protocol {

namespace {

/// Length of the character that starts with `lead`; 0 if none can.
std::size_t character_length(unsigned char lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;  // continuation bytes, and C0, C1: overlong
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) return 3;
    if (lead < 0xF5) return 4;
    return 0;  // above U+10FFFF
}

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/// Whether `size` bytes can begin (or be) one character: RFC 3629 section 4.
bool can_begin_character(const unsigned char* bytes, std::size_t size) {
    if (character_length(bytes[0]) < size) return false;
    for (std::size_t i = 1; i < size; ++i) {
        if (!is_continuation(bytes[i])) return false;
    }
    if (size < 2) return character_length(bytes[0]) != 0;
    switch (bytes[0]) {
        case 0xE0:
            return bytes[1] >= 0xA0;  // overlong below
        case 0xED:
            return bytes[1] <= 0x9F;  // surrogates above
        case 0xF0:
            return bytes[1] >= 0x90;  // overlong below
        case 0xF4:
            return bytes[1] <= 0x8F;  // above U+10FFFF
        default:
            return true;
    }
}

/// How many bytes at the end belong to a character that is not complete.
std::size_t incomplete_tail(const unsigned char* text, std::size_t size) {
    for (std::size_t back = 1; back <= 3 && back <= size; ++back) {
        const unsigned char byte = text[size - back];
        if (is_continuation(byte)) continue;
        return character_length(byte) > back ? back : 0;
    }
    return 0;
}

/// One pass of ORs, in vectors of the target: most text is ASCII, and this is the cheapest way to
/// know.
WSPOOL_ALWAYS_INLINE bool has_no_high_bit(const char* text, std::size_t size) {
    using vector_t = std::uint64_t __attribute__((vector_size(32)));
    constexpr std::uint64_t high_bits = 0x8080808080808080U;
    constexpr std::size_t step = 2 * sizeof(vector_t);
    std::uint64_t all = 0;
    // The last step may overlap the one before: cheaper than going on in small ones.
    if (size >= step) {
        const char* const last = text + size - step;
        // By memcpy: clang takes no type's word for it that a vector lies unaligned.
        vector_t one{};
        vector_t two{};
        std::memcpy(&one, last, sizeof one);
        std::memcpy(&two, last + sizeof one, sizeof two);
        for (const char* at = text; at < last; at += step) {
            vector_t next{};
            std::memcpy(&next, at, sizeof next);
            one |= next;
            std::memcpy(&next, at + sizeof next, sizeof next);
            two |= next;
        }
        one |= two;
        all = one[0] | one[1] | one[2] | one[3];
    } else if (size >= sizeof all) {
        const char* const last = text + size - sizeof all;
        std::uint64_t word = 0;
        for (const char* at = text; at < last; at += sizeof all) {
            std::memcpy(&word, at, sizeof word);
            all |= word;
        }
        std::memcpy(&word, last, sizeof word);
        all |= word;
    } else {
        for (std::size_t i = 0; i < size; ++i) all |= static_cast<unsigned char>(text[i]);
    }
    return (all & high_bits) == 0;
}

bool is_ascii_here(const char* text, std::size_t size) { return has_no_high_bit(text, size); }

#ifdef WSPOOL_X86_64
__attribute__((target("avx2"))) bool is_ascii_avx2(const char* text, std::size_t size) {
    return has_no_high_bit(text, size);
}
const auto is_ascii_best = __builtin_cpu_supports("avx2") ? is_ascii_avx2 : is_ascii_here;
#else
constexpr auto is_ascii_best = is_ascii_here;
#endif

}  // namespace

bool is_ascii(const char* text, std::size_t size) { return is_ascii_best(text, size); }

bool is_utf8(const char* text, std::size_t size) { return simdjson::validate_utf8(text, size); }

bool utf8_validator::consume(const char* text, std::size_t size) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text);
    while (held_ != 0 && size != 0) {
        partial_[held_++] = *bytes++;
        --size;
        if (!can_begin_character(partial_.data(), held_)) return false;
        if (held_ == character_length(partial_[0])) held_ = 0;
    }
    if (size == 0) return true;
    const std::size_t tail = incomplete_tail(bytes, size);
    if (!check_text(reinterpret_cast<const char*>(bytes), size - tail).is_valid) return false;
    for (std::size_t i = 0; i < tail; ++i) partial_[i] = bytes[size - tail + i];
    held_ = tail;
    return tail == 0 || can_begin_character(partial_.data(), tail);
}

}  // namespace wspool::protocol
