#pragma once

#include <cstdint>
#include <string_view>

#include "wspool/fields.hpp"

namespace wspool::json {

/// Since 1970 in `unit`, from the text of a number, or from what a string holds. An integer counts
/// `unit`. One with a fraction or an exponent counts seconds, as long as it is below 1e11 (the
/// year 5138), and `unit` above that; digits that are too fine are cut off toward the past.
bool parse_timestamp(std::string_view text, time_unit_e unit, std::int64_t& out) noexcept;

/// Nanoseconds since 1970 from ISO 8601 text: `YYYY-MM-DD`, then maybe `T` or a space,
/// `HH:MM[:SS[.fraction]]` and `Z` or an offset. Without an offset it is UTC. The tenth and later
/// digits of the fraction are cut off. False for what is not there on the calendar, and for what
/// does not fit: before 1677, after 2262.
bool parse_iso_time(std::string_view text, std::int64_t& out) noexcept;

}  // namespace wspool::json
