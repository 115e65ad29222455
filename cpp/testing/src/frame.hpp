#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wspool::testing {

/// Frames of RFC 6455 section 5.2 as a server sees them: its own unmasked, the client's masked.
enum class opcode : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xA,
};

constexpr std::size_t max_control_payload = 125;

void append_frame(std::string& out, opcode code, bool fin, std::string_view payload);
/// `code` 1005 makes a close frame without a payload (section 7.1.5).
void append_close(std::string& out, std::uint16_t code, std::string_view reason);

/// A client's frame; the payload is unmasked in place and lives as long as the bytes parsed.
struct client_frame {
    opcode code = opcode::continuation;
    bool fin = false;
    std::string_view payload;
};

struct parse_result {
    std::size_t consumed = 0;      ///< 0: more bytes are needed, or the frame is bad
    std::uint16_t close_code = 0;  ///< not 0: the connection must be failed with it
    const char* reason = "";
};

/// Takes one frame off the front of `data`. Unmasks only a frame that is complete.
[[nodiscard]] parse_result parse_client_frame(char* data, std::size_t size, std::uint64_t max_size,
                                              client_frame& frame);

/// What a close frame's payload says: its code (1005 if empty), or with `valid` false the code
/// that the connection must be failed with.
struct close_payload {
    std::uint16_t code = 1005;
    bool valid = true;
};
[[nodiscard]] close_payload parse_close(std::string_view payload);

}  // namespace wspool::testing
