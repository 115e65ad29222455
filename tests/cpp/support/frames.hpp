#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wspool_test {

/// A server's frame, byte for byte as asked for, right or wrong (RFC 6455 section 5.2).
struct frame_spec_t {
    unsigned opcode = 1;
    bool final = true;
    unsigned reserved = 0;     // RSV1..3 as 4, 2, 1
    bool masked = false;       // sets the bit and four zero bytes of key
    int length_form = 0;       // 0: the shortest; else 7, 16 or 64 bits
    std::int64_t length = -1;  // what the header says; -1: the payload's
};

inline std::string frame(std::string_view payload, frame_spec_t spec = {}) {
    const std::uint64_t size =
        spec.length >= 0 ? static_cast<std::uint64_t>(spec.length) : payload.size();
    int form = spec.length_form;
    if (form == 0) form = size < 126 ? 7 : size <= 0xFFFF ? 16 : 64;
    std::string out;
    out.push_back(static_cast<char>((spec.final ? 0x80U : 0U) | spec.reserved << 4 | spec.opcode));
    const unsigned mask = spec.masked ? 0x80 : 0;
    const auto low = static_cast<unsigned>(size);
    out.push_back(static_cast<char>(mask | (form == 7 ? low : form == 16 ? 126U : 127U)));
    for (int shift = form == 7 ? -1 : form - 8; shift >= 0; shift -= 8) {
        out.push_back(static_cast<char>(size >> shift));
    }
    if (spec.masked) out.append(4, '\0');
    out += payload;
    return out;
}

inline std::string text(std::string_view payload, bool final = true) {
    frame_spec_t spec;
    spec.final = final;
    return frame(payload, spec);
}
inline std::string with_opcode(unsigned opcode, std::string_view payload, bool final = true) {
    frame_spec_t spec;
    spec.opcode = opcode;
    spec.final = final;
    return frame(payload, spec);
}
inline std::string binary(std::string_view payload, bool final = true) {
    return with_opcode(2, payload, final);
}
inline std::string continuation(std::string_view payload, bool final = true) {
    return with_opcode(0, payload, final);
}
inline std::string ping(std::string_view payload) { return with_opcode(9, payload); }
inline std::string pong(std::string_view payload) { return with_opcode(10, payload); }
inline std::string close_payload(unsigned code, std::string_view reason = {}) {
    std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
    payload += reason;
    return payload;
}
inline std::string close(unsigned code, std::string_view reason = {}) {
    return with_opcode(8, close_payload(code, reason));
}

}  // namespace wspool_test
