#pragma once

#include <cstddef>
#include <cstdint>

namespace wspool::json {

/// A number as feeds mostly write it: up to 16 bytes, all of them digits but for a point.
struct plain_number {
    static constexpr std::size_t longest = 16;

    std::uint64_t digits = 0;  ///< as if the point were not there
    unsigned decimals = 0;     ///< how many of them are behind it
    bool has_point = false;

    /// False on processors that have not got what it takes.
    static bool can_read() noexcept;
    /// Reads the number of `size` bytes that ends at `end`. `longest` bytes before `end` can be
    /// read, whatever they are. False says nothing but that it is not as plain as that.
    bool read(const char* end, std::size_t size) noexcept;
};

}  // namespace wspool::json
