#pragma once

#include <cstddef>
#include <cstdint>

namespace wspool::fuzz {

/// Aborts, with a word on the standard error, if the engine and the slow reader do not agree.
void check_records(const std::uint8_t* data, std::size_t size);

}  // namespace wspool::fuzz
