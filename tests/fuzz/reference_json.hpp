#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wspool::fuzz {

/// A JSON value, as a slow and simple reader sees it. It shares no code with the engine.
struct value {
    enum class kind_e { OBJECT, ARRAY, STRING, NUMBER, WORD };

    kind_e kind = kind_e::WORD;
    std::string raw;
    std::string text;           ///< of a string, unescaped
    bool is_text_whole = true;  ///< false: a surrogate without its other half
    std::vector<std::pair<std::string, value>> members;
    std::vector<value> elements;

    /// The last member of that name; an element if the name is an index. Null if there is none.
    [[nodiscard]] const value* find(std::string_view name) const;
};

/// RFC 8259, and NaN, Infinity and -Infinity; at most 1,024 levels, UTF-8, no byte order mark.
std::optional<value> parse(std::string_view text);

}  // namespace wspool::fuzz
