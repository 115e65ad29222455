#include "protocol/frame.hpp"

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

}  // namespace wspool::protocol
