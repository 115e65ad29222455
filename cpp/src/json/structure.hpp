#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace wspool::json {

/// What 64 bytes of a text are, a bit for each byte; the first is the lowest.
struct block {
    std::uint64_t quotes;   ///< that begin or end strings
    std::uint64_t strings;  ///< with the quotes that begin them, without those that end them
};

/// What is found in a whole text.
struct summary {
    bool is_open = false;        ///< it ends within a string
    bool has_control = false;    ///< a control character in a string
    bool has_backslash = false;  ///< anywhere; without one no string has escapes
    bool has_space = false;      ///< outside strings; or something that is no JSON
};

/// The functions for one set of vector instructions.
struct kernel_t {
    const char* name;
    summary (*scan)(const char* text, std::size_t size, block* out);
    std::size_t (*skip_array)(const char* text, std::size_t size, const block* blocks,
                              std::size_t begin, std::vector<std::size_t>& scalars);
};

/// All that this processor can run, the best first; the last is plain C++.
const std::vector<kernel_t>& kernels();

/// Finds where the strings of a JSON text end, and walks over arrays, 64 bytes at a time: with the
/// vector instructions of the processor it runs on.
///
/// The ideas are those of simdjson (Langdale and Lemire, "Parsing gigabytes of JSON per second",
/// 2019) and JSONSki (Jiang and Zhao, "JSONSki: streaming semi-structured data with bit-parallel
/// fast-forwarding", 2022). simdjson itself was used first: its first stage writes down every
/// token, its second visits each, and of a book of prices that is nearly all of the work, while
/// On-Demand, which can stop early, does not check what it passes over.
class structure {
public:
    explicit structure(const kernel_t& kernel = kernels().front()) : kernel_(kernel) {}

    /// False if the text cannot be JSON. Nothing behind `text` is read. Valid until the next call,
    /// as long as the text is. `is_utf8`: that is known already.
    bool index(std::string_view text, bool is_utf8);

    /// Instead of `index`, for a text without backslashes in which no value is looked up.
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
        std::uint64_t left = blocks_[number].quotes & (~std::uint64_t{0} << (begin % bits) << 1U);
        while (left == 0) left = blocks_[++number].quotes;
        return number * bits + static_cast<std::size_t>(__builtin_ctzll(left));
    }
    /// Behind the array that begins at `begin`, less than 50 deep, if it holds nothing but arrays,
    /// strings, numbers and words, and the text is compact and without backslashes: then all of it
    /// is checked but for `scalars`, whose first bytes are appended. They may turn out to be
    /// something else. 0: it is not that simple, or broken.
    std::size_t skip_array(std::size_t begin, std::vector<std::size_t>& scalars) const {
        return kernel_.skip_array(text_.data(), text_.size(), blocks_.data(), begin, scalars);
    }

private:
    static constexpr std::size_t bits = 64;

    const kernel_t& kernel_;
    std::string_view text_;
    std::vector<block> blocks_;
    summary found_;
};

}  // namespace wspool::json
