#pragma once

#include <zlib.h>

#include <cstdint>
#include <string_view>

namespace wspool::testing {

/// zlib's CRC-32 in the widths used here. The CRC of nothing is 0.
inline std::uint32_t update_crc32(std::uint32_t crc, std::string_view data) noexcept {
    return static_cast<std::uint32_t>(
        crc32_z(crc, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

/// The CRC of A followed by B, from the CRC of each and the size of B.
inline std::uint32_t combine_crc32(std::uint32_t a, std::uint32_t b,
                                   std::uint64_t size_b) noexcept {
    return static_cast<std::uint32_t>(crc32_combine(a, b, static_cast<z_off_t>(size_b)));
}

}  // namespace wspool::testing
