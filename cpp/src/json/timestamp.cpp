#include "json/timestamp.hpp"

#include <array>
#include <cstddef>

#include "json/number.hpp"

namespace wspool::json {
namespace {

constexpr std::int64_t ns_per_second = 1'000'000'000;

/// Takes a text from the front.
class reader {
public:
    explicit reader(std::string_view text) : at_(text.data()), end_(at_ + text.size()) {}

    [[nodiscard]] bool is_done() const noexcept { return at_ == end_; }
    [[nodiscard]] bool has(char c) const noexcept { return at_ != end_ && *at_ == c; }
    [[nodiscard]] bool has_digit() const noexcept {
        return at_ != end_ && static_cast<unsigned char>(*at_ - '0') < 10;
    }
    bool take(char c) noexcept {
        if (!has(c)) return false;
        ++at_;
        return true;
    }
    /// Exactly so many digits, up to `most`.
    bool take_number(unsigned digits, int most, int& out) noexcept {
        out = 0;
        for (; digits != 0; --digits) {
            if (!has_digit()) return false;
            out = out * 10 + (*at_++ - '0');
        }
        return out <= most;
    }
    /// At least one digit; as nanoseconds.
    bool take_fraction(std::int64_t& out) noexcept {
        if (!has_digit()) return false;
        out = 0;
        for (std::int64_t worth = ns_per_second / 10; has_digit(); worth /= 10)
            out += worth * (*at_++ - '0');
        return true;
    }

private:
    const char* at_;
    const char* end_;
};

int days_in(int year, int month) noexcept {
    constexpr std::array<int, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[static_cast<std::size_t>(month - 1)];
}

/// Days since 1970-01-01 of a date in the Gregorian calendar, year 0 or later. Years are counted
/// from March, so that the day that comes and goes is the last one.
std::int64_t days_since_1970(int year, int month, int day) noexcept {
    const int y = month > 2 ? year : year - 1;
    const int era = (y >= 0 ? y : y - 399) / 400;
    const int of_era = y - era * 400;
    const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return std::int64_t{era} * 146'097 + day_of_era - 719'468;
}

/// `Z`, an offset or nothing; in seconds.
bool take_offset(reader& in, std::int64_t& seconds) noexcept {
    seconds = 0;
    if (in.is_done() || in.take('Z') || in.take('z')) return true;
    const bool negative = in.has('-');
    if (!in.take('-') && !in.take('+')) return false;
    int hours = 0;
    int minutes = 0;
    if (!in.take_number(2, 23, hours)) return false;
    if (!in.is_done()) {
        in.take(':');
        if (!in.take_number(2, 59, minutes)) return false;
    }
    seconds = hours * 3600 + minutes * 60;
    if (negative) seconds = -seconds;
    return true;
}

}  // namespace

bool parse_timestamp(std::string_view text, time_unit_e unit, std::int64_t& out) noexcept {
    if (parse_int64(text, out)) return true;
    decimal_t number;
    if (!parse_decimal(text, number) || number.is_integer) return false;
    constexpr std::int64_t most_seconds = 100'000'000'000;
    std::int64_t whole = 0;
    const bool is_small =
        scale_down(number, 0, whole) && whole < most_seconds &&
        (whole > -most_seconds || (whole == -most_seconds && number.exponent < 0));
    return scale_down(number, is_small ? static_cast<std::int64_t>(unit) : 0, out);
}

bool parse_iso_time(std::string_view text, std::int64_t& out) noexcept {
    reader in(text);
    int year = 0;
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    std::int64_t fraction = 0;
    std::int64_t offset = 0;
    if (!in.take_number(4, 9999, year) || !in.take('-') || !in.take_number(2, 12, month) ||
        month == 0 || !in.take('-') || !in.take_number(2, days_in(year, month), day) || day == 0)
        return false;
    if (!in.is_done()) {
        if (!in.take('T') && !in.take('t') && !in.take(' ')) return false;
        if (!in.take_number(2, 23, hour) || !in.take(':') || !in.take_number(2, 59, minute))
            return false;
        if (in.take(':') &&
            (!in.take_number(2, 59, second) || (in.take('.') && !in.take_fraction(fraction))))
            return false;
        if (!take_offset(in, offset) || !in.is_done()) return false;
    }
    const std::int64_t seconds =
        days_since_1970(year, month, day) * 86'400 + hour * 3600 + minute * 60 + second - offset;
    const int128 ns = static_cast<int128>(seconds) * ns_per_second + fraction;
    out = static_cast<std::int64_t>(ns);
    return out == ns;
}

}  // namespace wspool::json
