#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include <simdjson.h>

namespace wspool::json {

/// Where the tokens of a JSON text begin: simdjson's first stage, chosen for the processor at run
/// time. It also checks that the text is UTF-8, that strings end and hold no control characters.
///
/// simdjson's own second stages are not used: On-Demand does not check what it skips, and DOM
/// converts every value. What walks over the tokens here does neither.
class structure {
public:
    /// False if the text cannot be JSON. Nothing behind `text` is read. Valid until the next call,
    /// as long as the text is.
    bool index(std::string_view text);

    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    /// Offset of each token: of `{}[]:,` and of the first byte of a scalar. One more follows, the
    /// end of the text.
    [[nodiscard]] const std::uint32_t* tokens() const noexcept { return tokens_; }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// Whether a backslash is anywhere; without one no string has escapes.
    [[nodiscard]] bool has_backslash() const noexcept { return has_backslash_; }

private:
    std::unique_ptr<simdjson::internal::dom_parser_implementation> parser_;
    std::string_view text_;
    const std::uint32_t* tokens_ = nullptr;
    std::size_t count_ = 0;
    bool has_backslash_ = false;
};

}  // namespace wspool::json
