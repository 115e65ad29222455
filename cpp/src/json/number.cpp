#include "json/number.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "json/digits.hpp"

#if !defined(__cpp_lib_to_chars)
#include <locale.h>
#include <stdlib.h>

#include <string>
#endif

namespace wspool::json {
namespace {

constexpr unsigned most_digits = 38;

constexpr std::array<std::uint64_t, 9> powers_of_ten{
    1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000};

unsigned digit_of(char c) noexcept { return static_cast<unsigned char>(c - '0'); }

/// A number taken apart, its digits not yet looked at as a value.
struct parts {
    const char* whole = nullptr;
    const char* whole_end = nullptr;
    const char* fraction = nullptr;
    const char* fraction_end = nullptr;
    std::int64_t exponent = 0;
    bool is_negative = false;
    bool has_exponent = false;
};

const char* digits_end(const char* at, const char* end) noexcept {
    while (at != end && digit_of(*at) < 10) ++at;
    return at;
}

bool take_apart(std::string_view text, parts& out) noexcept {
    const char* at = text.data();
    const char* const end = at + text.size();
    if (at != end && (*at == '-' || *at == '+')) out.is_negative = *at++ == '-';
    out.whole = at;
    out.whole_end = at = digits_end(at, end);
    out.fraction = out.fraction_end = at;
    if (at != end && *at == '.') {
        out.fraction = ++at;
        out.fraction_end = at = digits_end(at, end);
    }
    if (out.whole == out.whole_end && out.fraction == out.fraction_end) return false;
    if (at != end && (*at == 'e' || *at == 'E')) {
        out.has_exponent = true;
        ++at;
        bool negative = false;
        if (at != end && (*at == '-' || *at == '+')) negative = *at++ == '-';
        const char* const digits = at;
        at = digits_end(at, end);
        if (at == digits) return false;
        constexpr std::int64_t beyond_any = 1'000'000'000;
        for (const char* digit = digits; digit != at && out.exponent < beyond_any; ++digit)
            out.exponent = out.exponent * 10 + digit_of(*digit);
        if (negative) out.exponent = -out.exponent;
    }
    return at == end;
}

/// For what the short way cannot tell.
bool parse_double_slowly(std::string_view text, double& out) noexcept {
    if (text.front() == '+') text.remove_prefix(1);
#if defined(__cpp_lib_to_chars)
    double value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec == std::errc::result_out_of_range) {
        // Too large, or so small that it is zero: which of them, from_chars does not say.
        parts apart;
        if (!take_apart(text, apart)) return false;
        std::int64_t leading = apart.exponent;  // power of ten of the first digit that is not zero
        const char* at = apart.whole;
        while (at != apart.whole_end && *at == '0') ++at;
        if (at != apart.whole_end) {
            leading += apart.whole_end - at;
        } else {
            at = apart.fraction;
            while (at != apart.fraction_end && *at == '0') ++at;
            leading -= at - apart.fraction;
        }
        if (leading > 0) return false;
        out = apart.is_negative ? -0.0 : 0.0;
        return true;
    }
    if (result.ec != std::errc()) return false;
    out = value;
    return true;
#else
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
    char* end = nullptr;
    const std::string copy(text);
    const double value = strtod_l(copy.c_str(), &end, plain);
    if (!std::isfinite(value)) return false;
    out = value;
    return true;
#endif
}

bool add_digit(uint128& value, char c) noexcept {
    constexpr uint128 most = ~uint128{0};
    if (value > (most - 9) / 10) return false;
    value = value * 10 + digit_of(c);
    return true;
}

/// Up to 19 digits with a point somewhere, as prices are: one pass. False says nothing.
bool parse_plain_double(std::string_view text, double& out) noexcept {
    const char* at = text.data();
    const char* const end = at + text.size();
    const bool negative = at != end && *at == '-';
    if (negative) ++at;
    constexpr std::ptrdiff_t longest = 20;
    if (end - at > longest || at == end) return false;
    std::uint64_t digits = 0;
    const char* const whole = at;
    for (; at != end && digit_of(*at) < 10; ++at) digits = digits * 10 + digit_of(*at);
    std::ptrdiff_t count = at - whole;
    std::ptrdiff_t decimals = 0;
    if (at != end) {
        if (*at != '.') return false;
        const char* const fraction = ++at;
        for (; at != end && digit_of(*at) < 10; ++at) digits = digits * 10 + digit_of(*at);
        if (at != end) return false;
        decimals = at - fraction;
        count += decimals;
    }
    if (count == 0 || count == longest) return false;
    double value = 0;
    if (!divide(digits, static_cast<unsigned>(decimals), value)) return false;
    out = negative ? -value : value;
    return true;
}

uint128 power_of_ten(unsigned exponent) noexcept {
    uint128 value = 1;
    while (exponent-- != 0) value *= 10;
    return value;
}

}  // namespace

bool parse_uint64(std::string_view text, std::uint64_t& out) noexcept {
    if (!text.empty() && text.front() == '+') text.remove_prefix(1);
    if (text.size() > 1 && text.front() == '-') {  // nothing but zero can be
        text.remove_prefix(1);
        std::uint64_t zero = 1;
        if (digit_of(text.front()) > 9 || !parse_uint64(text, zero) || zero != 0) return false;
        out = 0;
        return true;
    }
    constexpr std::size_t always_fit = 19;
    std::uint64_t value = 0;
    if (text.empty()) return false;
    if (text.size() <= always_fit) {
        if (has_eight_digits && text.size() >= eight) {
            const std::uint64_t word = load_eight(text.data());
            if (!are_eight_digits(word)) return false;
            value = value_of_eight(word);
            text.remove_prefix(eight);
            if (text.size() <= eight && !text.empty()) {
                // The last eight, and zeros instead of those that have been counted.
                const auto known = 8 * (eight - text.size());
                const std::uint64_t counted = known == 0 ? 0 : ~std::uint64_t{0} >> (64 - known);
                const std::uint64_t last = load_eight(text.data() + text.size() - eight);
                const std::uint64_t rest = (last & ~counted) | (0x3030303030303030U & counted);
                if (!are_eight_digits(rest)) return false;
                out = value * powers_of_ten[text.size()] + value_of_eight(rest);
                return true;
            }
        }
        for (const char c : text) {
            const unsigned digit = digit_of(c);
            if (digit > 9) return false;
            value = value * 10 + digit;
        }
        out = value;
        return true;
    }
    for (const char c : text) {
        const unsigned digit = digit_of(c);
        constexpr auto most = std::numeric_limits<std::uint64_t>::max();
        if (digit > 9 || value > most / 10 || value * 10 > most - digit) return false;
        value = value * 10 + digit;
    }
    out = value;
    return true;
}

bool parse_int64(std::string_view text, std::int64_t& out) noexcept {
    const bool negative = !text.empty() && text.front() == '-';
    if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
    std::uint64_t size = 0;
    if (text.empty() || digit_of(text.front()) > 9 || !parse_uint64(text, size)) return false;
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (size > most + (negative ? 1 : 0)) return false;
    out = static_cast<std::int64_t>(negative ? ~size + 1 : size);
    return true;
}

bool parse_double(std::string_view text, double& out) noexcept {
    if (parse_plain_double(text, out)) return true;
    constexpr std::ptrdiff_t always_fit = 19;
    parts apart;
    if (!take_apart(text, apart)) return false;
    const std::ptrdiff_t decimals = apart.fraction_end - apart.fraction;
    if (apart.whole_end - apart.whole + decimals <= always_fit) {
        std::uint64_t digits = 0;
        for (const char* c = apart.whole; c != apart.whole_end; ++c)
            digits = digits * 10 + digit_of(*c);
        for (const char* c = apart.fraction; c != apart.fraction_end; ++c)
            digits = digits * 10 + digit_of(*c);
        const std::int64_t power = apart.exponent - decimals;
        constexpr auto largest = static_cast<std::int64_t>(exact_powers.size() - 1);
        if (digits <= exact_digits && power >= -largest && power <= largest) {
            auto value = static_cast<double>(digits);
            if (power < 0)
                value /= exact_powers[static_cast<std::size_t>(-power)];
            else
                value *= exact_powers[static_cast<std::size_t>(power)];
            out = apart.is_negative ? -value : value;
            return true;
        }
    }
    return parse_double_slowly(text, out);
}

bool parse_decimal(std::string_view text, decimal_t& out) noexcept {
    parts apart;
    if (!take_apart(text, apart)) return false;
    out.is_negative = apart.is_negative;
    out.is_integer = apart.whole_end == text.data() + text.size();
    out.exponent = apart.exponent;
    out.digits = 0;
    // Zeros at the end are put off until a digit follows them.
    std::int64_t zeros = 0;
    const auto take = [&](const char* at, const char* end) {
        for (; at != end; ++at) {
            if (*at == '0') {
                ++zeros;
                continue;
            }
            if (out.digits == 0) zeros = 0;  // those in front
            if (zeros > most_digits) return false;
            for (; zeros > 0; --zeros)
                if (!add_digit(out.digits, '0')) return false;
            if (!add_digit(out.digits, *at)) return false;
        }
        return true;
    };
    if (!take(apart.whole, apart.whole_end)) return false;
    if (!take(apart.fraction, apart.fraction_end)) return false;
    out.exponent += zeros - (apart.fraction_end - apart.fraction);
    if (out.digits == 0) out.exponent = 0;
    return out.digits < power_of_ten(most_digits);
}

bool scale(const decimal_t& number, std::int64_t power, unsigned precision, int128& out) noexcept {
    const std::int64_t shift = number.exponent + power;
    uint128 value = number.digits;
    if (value != 0) {
        // Without zeros at the end of the digits, nothing can be cut off.
        if (shift < 0 || shift >= most_digits) return false;
        const uint128 most = power_of_ten(precision) - 1;
        const uint128 factor = power_of_ten(static_cast<unsigned>(shift));
        if (value > most / factor) return false;
        value *= factor;
    }
    out = number.is_negative ? -static_cast<int128>(value) : static_cast<int128>(value);
    return true;
}

bool scale_down(const decimal_t& number, std::int64_t power, std::int64_t& out) noexcept {
    const std::int64_t shift = number.exponent + power;
    uint128 value = number.digits;
    bool inexact = false;
    constexpr auto most = static_cast<uint128>(std::numeric_limits<std::int64_t>::max());
    if (value == 0) {
        out = 0;
        return true;
    }
    if (shift < 0) {
        if (shift <= -static_cast<std::int64_t>(most_digits)) {
            value = 0;
            inexact = true;
        } else {
            const uint128 divisor = power_of_ten(static_cast<unsigned>(-shift));
            inexact = value % divisor != 0;
            value /= divisor;
        }
    } else {
        if (shift > 18) return false;
        const uint128 factor = power_of_ten(static_cast<unsigned>(shift));
        if (value > (most + 1) / factor) return false;
        value *= factor;
    }
    if (number.is_negative && inexact) ++value;
    if (value > most + (number.is_negative ? 1 : 0)) return false;
    const auto size = static_cast<std::uint64_t>(value);
    out = static_cast<std::int64_t>(number.is_negative ? ~size + 1 : size);
    return true;
}

}  // namespace wspool::json
