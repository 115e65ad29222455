#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace wspool::json {

__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;

// Digits and power of ten that a double holds exactly give the right result in one step (Clinger,
// "How to read floating point numbers accurately", 1990).
inline constexpr std::array<double, 23> exact_powers{1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
inline constexpr std::uint64_t exact_digits = std::uint64_t{1} << 53U;

// From the text of a number, or from what a string holds. A sign, zeros in front, and a missing
// digit on one side of the point are allowed; white space is not. False leaves `out` alone.

/// Digits only; false if it does not fit.
bool parse_int64(std::string_view text, std::int64_t& out) noexcept;
bool parse_uint64(std::string_view text, std::uint64_t& out) noexcept;
/// Rounded correctly; false if it is too large.
bool parse_double(std::string_view text, double& out) noexcept;
/// digits / 10^decimals, rounded correctly; false says nothing.
inline bool divide(std::uint64_t digits, unsigned decimals, double& out) noexcept {
    if (digits > exact_digits || decimals >= exact_powers.size()) return false;
    out = static_cast<double>(digits) / exact_powers[decimals];
    return true;
}

/// A number as it is written: digits * 10^exponent, with no zero at the end of the digits.
struct decimal_t {
    uint128 digits = 0;  ///< at most 38
    std::int64_t exponent = 0;
    bool is_negative = false;
    bool is_integer = false;  ///< written without point and exponent
};
/// False also if it has more than 38 significant digits.
bool parse_decimal(std::string_view text, decimal_t& out) noexcept;
/// Times 10^power, which must be whole and have at most `precision` digits; false if not.
bool scale(const decimal_t& number, std::int64_t power, unsigned precision, int128& out) noexcept;
/// The same, but cut off toward minus infinity; false if it does not fit.
bool scale_down(const decimal_t& number, std::int64_t power, std::int64_t& out) noexcept;

}  // namespace wspool::json
