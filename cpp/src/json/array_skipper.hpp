#pragma once

#include <cstddef>
#include <vector>

#include "json/kernels.hpp"

namespace wspool::json {

/// Passes over arrays that hold nothing but arrays, strings, numbers and words, without white space
/// and backslashes, 64 bytes at a time: most of what feeds with books of prices send. One thread at
/// a time.
class array_skipper {
public:
    explicit array_skipper(const kernel_t& kernel = kernels().front()) : kernel_(kernel) {}

    /// With so many objects and arrays around it, an array that is passed over is not too deep.
    static constexpr unsigned most_around = 50;

    /// Behind the array that begins at `begin`, at or before `end`; it is JSON then. Null: it is
    /// not that simple, or broken. UTF-8 is not checked.
    const char* skip(const char* begin, const char* end);

private:
    const kernel_t& kernel_;
    std::vector<std::size_t> scalars_;
};

}  // namespace wspool::json
