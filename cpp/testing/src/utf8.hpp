#pragma once

#include <cstddef>
#include <cstdint>

namespace wspool::testing {

/// Incremental UTF-8 check (RFC 3629), one message at a time, its fragments in order.
class utf8_checker {
public:
    /// False as soon as the bytes so far cannot be the beginning of valid UTF-8.
    [[nodiscard]] bool feed(const char* data, std::size_t size) noexcept;
    /// True if the message may end here; also makes ready for the next message.
    [[nodiscard]] bool finish() noexcept;

private:
    unsigned missing_ = 0;  // continuation bytes that the current character still needs
    // Bounds of the next continuation byte: narrower after E0, ED, F0 and F4, which is how
    // overlong forms, surrogates and values above U+10FFFF are refused.
    std::uint8_t low_ = 0x80;
    std::uint8_t high_ = 0xBF;
};

}  // namespace wspool::testing
