#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace wspool::fuzz {

// What is fuzzed: each target defines both, and is linked with one of the main programs.

/// Aborts, with a word on the standard error, if the core and the slow reader do not agree.
void check(const std::uint8_t* data, std::size_t size);

/// Bytes that are likely to spoil an input, for the changes that the replay makes.
extern const std::string_view spoiling;

}  // namespace wspool::fuzz
