#include "utf8.hpp"

#include <cstring>

namespace wspool::testing {

bool utf8_checker::feed(const char* data, std::size_t size) noexcept {
    std::size_t i = 0;
    while (i < size) {
        if (missing_ == 0) {
            // ASCII, eight bytes at a time: nearly all of a JSON feed.
            std::uint64_t word = 0;
            while (size - i >= sizeof word) {
                std::memcpy(&word, data + i, sizeof word);
                if ((word & 0x8080808080808080ULL) != 0) break;
                i += sizeof word;
            }
            if (i == size) break;
        }
        const auto byte = static_cast<std::uint8_t>(data[i++]);
        if (missing_ != 0) {
            if (byte < low_ || byte > high_) return false;
            low_ = 0x80;
            high_ = 0xBF;
            --missing_;
        } else if (byte >= 0x80) {
            if (byte < 0xC2 || byte > 0xF4) return false;
            missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
            if (byte == 0xE0) low_ = 0xA0;
            if (byte == 0xED) high_ = 0x9F;
            if (byte == 0xF0) low_ = 0x90;
            if (byte == 0xF4) high_ = 0x8F;
        }
    }
    return true;
}

bool utf8_checker::finish() noexcept {
    const bool complete = missing_ == 0;
    *this = utf8_checker{};
    return complete;
}

}  // namespace wspool::testing
