#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "json/digits.hpp"

namespace wspool::json {

/// A value where it stands in the text; without `text`, none.
struct slice {
    const char* data = nullptr;
    std::uint32_t size = 0;  ///< without white space around it; of a string with its quotes

    [[nodiscard]] bool is_missing() const noexcept { return data == nullptr; }
    [[nodiscard]] std::string_view text() const noexcept { return {data, size}; }
    [[nodiscard]] bool is_string() const noexcept { return data != nullptr && *data == '"'; }
    [[nodiscard]] bool is_array() const noexcept { return data != nullptr && *data == '['; }
    /// Missing or JSON's null: what becomes a null without being a mistake.
    [[nodiscard]] bool is_null() const noexcept { return data == nullptr || *data == 'n'; }
    /// What stands between a string's quotes.
    [[nodiscard]] std::string_view inside() const noexcept { return {data + 1, size - 2U}; }
};

/// The end of the number (RFC 8259 section 6), true, false, null, or of NaN, Infinity or -Infinity,
/// which json.loads accepts, that begins here; null if none does. Nothing at or behind `end` is
/// read, and what follows is not judged.
const char* scalar_end(const char* begin, const char* end) noexcept;

/// The end of an integer that begins here, where a comma or a bracket follows it at once; null says
/// nothing.
inline const char* plain_integer_end(const char* begin, const char* end) noexcept {
    if (!has_eight_digits || end - begin <= 2 * eight) return nullptr;
    // A branch where a sum would do: the processor guesses it, and goes on with what follows.
    int digits = leading_digits(load_eight(begin));
    if (digits == eight) digits += leading_digits(load_eight(begin + eight));
    const char* const at = begin + digits;
    if (at == begin || (*begin == '0' && at - begin > 1)) return nullptr;
    return *at == ',' || *at == '}' || *at == ']' ? at : nullptr;
}

/// Whether the escapes between a string's quotes are those of RFC 8259 section 7.
bool check_escapes(std::string_view inside) noexcept;

/// Replaces the escapes, which have been checked. False for a surrogate without its other half,
/// which UTF-8 cannot express.
bool unescape(std::string_view inside, std::string& out);

}  // namespace wspool::json
