#pragma once

#include <cstdint>
#include <cstring>

namespace wspool::json {

/// Eight digits at a time, in a register (Lemire, "Quickly parsing eight digits", 2018). Bytes in
/// another order than the least first are left to the caller's loop.
inline constexpr int eight = 8;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
inline constexpr bool has_eight_digits = true;
#else
inline constexpr bool has_eight_digits = false;
#endif

inline std::uint64_t load_eight(const char* text) noexcept {
    std::uint64_t word;
    std::memcpy(&word, text, sizeof word);
    return word;
}

inline bool are_eight_digits(std::uint64_t word) noexcept {
    constexpr std::uint64_t high = 0xF0F0F0F0F0F0F0F0U;
    constexpr std::uint64_t zeros = 0x3030303030303030U;
    constexpr std::uint64_t six = 0x0606060606060606U;
    return (((word & high) | (((word + six) & high) >> 4U)) ^ (zeros | (zeros >> 4U))) == 0;
}

/// How many digits the word begins with, up to eight.
inline int leading_digits(std::uint64_t word) noexcept {
    // The first byte that is none gets its highest bit; a carry only goes to those behind it.
    word ^= 0x3030303030303030U;
    const std::uint64_t others = ((word + 0x7676767676767676U) | word) & 0x8080808080808080U;
    return others == 0 ? eight : __builtin_ctzll(others) / 8;
}

/// Of what `are_eight_digits` says so.
inline std::uint64_t value_of_eight(std::uint64_t word) noexcept {
    word -= 0x3030303030303030U;
    word = word * 10 + (word >> 8U);  // pairs
    constexpr std::uint64_t every_fourth = 0x000000FF000000FFU;
    constexpr std::uint64_t hundreds = 0x000F424000000064U;  // 100 + (10^6 << 32)
    constexpr std::uint64_t ones = 0x0000271000000001U;      // 1 + (10^4 << 32)
    return (((word & every_fourth) * hundreds) + (((word >> 16U) & every_fourth) * ones)) >> 32U;
}

}  // namespace wspool::json
