#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "json/kernels.hpp"

namespace wspool::json {

/// Where the strings of a JSON text end.
class structure {
public:
    explicit structure(const kernel_t& kernel = kernels().front()) : kernel_(kernel) {}

    /// False if the text cannot be JSON. Valid until the next call, as long as the text is.
    /// `is_utf8`: that is known already.
    bool index(std::string_view text, bool is_utf8);

    /// Instead of `index`, for a text without backslashes in which no string is looked up.
    void set_plain(std::string_view text) noexcept {
        text_ = text;
        found_ = {};
    }

    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    [[nodiscard]] bool has_backslash() const noexcept { return found_.has_backslash; }
    /// No white space between tokens, so that what follows a token is the next.
    [[nodiscard]] bool is_compact() const noexcept { return !found_.has_space; }
    /// Where the string that begins at `begin` ends: its quote.
    [[nodiscard]] std::size_t string_end(std::size_t begin) const noexcept {
        std::size_t number = begin / bits;
        // Shifted twice: 64 at once is undefined.
        std::uint64_t left = quotes_[number] & (~std::uint64_t{0} << (begin % bits) << 1U);
        while (left == 0) left = quotes_[++number];
        return number * bits + static_cast<std::size_t>(__builtin_ctzll(left));
    }

private:
    static constexpr std::size_t bits = 64;

    const kernel_t& kernel_;
    std::string_view text_;
    std::vector<std::uint64_t> quotes_;
    summary found_;
};

}  // namespace wspool::json
