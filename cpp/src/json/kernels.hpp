#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wspool::json {

/// What is found in a whole text.
struct summary {
    bool is_open = false;        ///< it ends within a string
    bool has_control = false;    ///< a control character in a string
    bool has_backslash = false;  ///< anywhere; without one no string has escapes
    bool has_space = false;      ///< outside strings; or something that is no JSON
};

/// The functions for one set of vector instructions. None reads anything behind the text.
///
/// The ideas are those of simdjson (Langdale and Lemire, "Parsing gigabytes of JSON per second",
/// 2019) and JSONSki (Jiang and Zhao, "JSONSki: streaming semi-structured data with bit-parallel
/// fast-forwarding", 2022). simdjson itself was used first: its first stage writes down every
/// token, its second visits each, and of a book of prices that is nearly all of the work, while
/// On-Demand, which can stop early, does not check what it passes over.
struct kernel_t {
    const char* name;
    /// Notes the quotes that begin or end strings, 64 bytes at a time, a bit for each byte, the
    /// first the lowest.
    summary (*scan)(const char* text, std::size_t size, std::uint64_t* quotes);
    /// How long the array is that the text begins with: 0 if there is more in it than arrays,
    /// strings, numbers and words, white space or a backslash, if it is broken or not at an end.
    /// What begins at `scalars`, which are appended, was not looked at: a number, a word or
    /// something else, up to the next comma or bracket.
    std::size_t (*skip_array)(const char* text, std::size_t size,
                              std::vector<std::size_t>& scalars);
};

/// All that this processor can run, the best first; the last is plain C++.
const std::vector<kernel_t>& kernels();

}  // namespace wspool::json
