#include "protocol/frame.hpp"

#include <memory>
#include <string>

#include "protocol/utf8.hpp"

namespace wspool::protocol {

void write_client_frame(char* out, opcode_e opcode, bool final, bool compressed,
                        std::string_view payload, std::uint32_t key) {
    constexpr unsigned masked = 0x80;
    *out++ = static_cast<char>((final ? 0x80U : 0U) | (compressed ? 0x40U : 0U) |
                               static_cast<unsigned>(opcode));
    const std::uint64_t size = payload.size();
    if (size < 126) {
        *out++ = static_cast<char>(masked | size);
    } else {
        const int length_bytes = size <= 0xFFFF ? 2 : 8;
        *out++ = static_cast<char>(masked | (length_bytes == 2 ? 126U : 127U));
        for (int shift = 8 * (length_bytes - 1); shift >= 0; shift -= 8) {
            *out++ = static_cast<char>(size >> shift);
        }
    }
    std::memcpy(out, &key, 4);
    mask_copy(out + 4, payload.data(), payload.size(), key);
}

bool is_sendable_close_code(unsigned code) {
    if (code >= 3000 && code <= 4999) return true;
    if (code >= 1000 && code <= 1014) return code != 1004 && code != 1005 && code != 1006;
    return false;
}

error_ptr check_close(std::uint16_t code, std::string_view reason) {
    const auto invalid = [](std::string text) {
        return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, std::move(text));
    };
    if (!is_sendable_close_code(code)) {
        return invalid("code: " + std::to_string(code) + " may not be sent in a close frame");
    }
    if (reason.size() > max_close_reason) return invalid("reason: at most 123 bytes of UTF-8");
    if (!is_utf8(reason.data(), reason.size())) return invalid("reason: must be valid UTF-8");
    return nullptr;
}

}  // namespace wspool::protocol
