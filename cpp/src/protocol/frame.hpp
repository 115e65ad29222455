#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "wspool/error.hpp"

namespace wspool::protocol {

/// Frame opcodes (RFC 6455 section 5.2).
enum class opcode_e : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xA,
};

inline bool is_control(opcode_e opcode) { return (static_cast<std::uint8_t>(opcode) & 0x8) != 0; }

constexpr std::size_t max_control_payload = 125;
constexpr std::size_t max_close_reason = 123;
/// Two bytes, a 64-bit length, and the masking key.
constexpr std::size_t max_client_header = 14;

/// Bytes that a masked client frame takes with `payload` bytes in it.
inline std::size_t client_frame_size(std::size_t payload) {
    return payload + (payload < 126 ? 6 : payload <= 0xFFFF ? 8 : 14);
}

/// Writes `payload` masked with `key` to `out` (RFC 6455 section 5.3). No overlap.
inline void mask_copy(char* out, const char* payload, std::size_t size, std::uint32_t key) {
    std::uint64_t wide = key;
    wide |= wide << 32;
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {  // compilers turn this into vector instructions
        std::uint64_t word = 0;
        std::memcpy(&word, payload + i, 8);
        word ^= wide;
        std::memcpy(out + i, &word, 8);
    }
    std::array<char, 4> bytes{};
    std::memcpy(bytes.data(), &key, 4);
    for (; i < size; ++i) out[i] = static_cast<char>(payload[i] ^ bytes[i & 3]);
}

/// Writes one masked frame; `out` has room for `client_frame_size(payload.size())`.
void write_client_frame(char* out, opcode_e opcode, bool final, bool compressed,
                        std::string_view payload, std::uint32_t key);

/// Whether a close code may stand in a frame (RFC 6455 section 7.4 and the IANA registry).
bool is_sendable_close_code(unsigned code);
/// Refuses what may not stand in a close frame; the error names the argument.
error_ptr check_close(std::uint16_t code, std::string_view reason);

}  // namespace wspool::protocol
