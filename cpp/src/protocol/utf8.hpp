#pragma once

#include <array>
#include <cstddef>

namespace wspool::protocol {

/// Checks text that arrives in pieces for UTF-8 (RFC 3629), failing at the first byte that no
/// valid text could have there, also when a piece ends inside a character.
///
/// Thread safety: distinct objects: safe. Shared objects: unsafe.
class utf8_validator {
public:
    /// Takes the next piece; false once the text cannot be valid any more.
    [[nodiscard]] bool consume(const char* text, std::size_t size);
    /// True if the text so far does not end inside a character.
    [[nodiscard]] bool complete() const { return held_ == 0; }
    void reset() { held_ = 0; }

private:
    std::array<unsigned char, 4> partial_{};  // of a character cut by the end of a piece
    std::size_t held_ = 0;
};

/// Whether no byte is above 127.
[[nodiscard]] bool is_ascii(const char* text, std::size_t size);

/// Whole text at once, by SIMD.
[[nodiscard]] bool is_utf8(const char* text, std::size_t size);

struct text_check_t {
    bool is_valid;
    bool is_ascii;
};
/// Whole text at once: whether it is valid UTF-8, and no more than ASCII.
[[nodiscard]] inline text_check_t check_text(const char* text, std::size_t size) {
    const bool ascii = is_ascii(text, size);
    return {ascii || is_utf8(text, size), ascii};
}

}  // namespace wspool::protocol
