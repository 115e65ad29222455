#include "frame.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "utf8.hpp"

namespace wspool::testing {
namespace {

constexpr std::uint16_t protocol_error = 1002;
constexpr std::uint16_t invalid_payload = 1007;
constexpr std::uint16_t message_too_big = 1009;

void unmask(char* data, std::size_t size, const std::array<std::uint8_t, 4>& key) {
    std::uint32_t narrow = 0;
    std::memcpy(&narrow, key.data(), sizeof narrow);
    const std::uint64_t wide = (static_cast<std::uint64_t>(narrow) << 32U) | narrow;
    std::size_t i = 0;
    for (; i + sizeof wide <= size; i += sizeof wide) {
        std::uint64_t word = 0;
        std::memcpy(&word, data + i, sizeof word);
        word ^= wide;
        std::memcpy(data + i, &word, sizeof word);
    }
    for (; i < size; ++i)
        data[i] = static_cast<char>(static_cast<std::uint8_t>(data[i]) ^ key[i & 3U]);
}

std::uint64_t big_endian(const char* data, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        value = (value << 8U) | static_cast<std::uint8_t>(data[i]);
    }
    return value;
}

bool known(std::uint8_t code) { return code <= 0x2 || (code >= 0x8 && code <= 0xA); }

}  // namespace

void append_frame(std::string& out, opcode code, bool fin, std::string_view payload) {
    std::array<char, 10> header{};
    std::size_t length = 2;
    header[0] = static_cast<char>((fin ? 0x80U : 0U) | static_cast<unsigned>(code));
    std::size_t extended = 0;
    if (payload.size() < 126) {
        header[1] = static_cast<char>(payload.size());
    } else if (payload.size() <= 0xFFFF) {
        header[1] = 126;
        extended = 2;
    } else {
        header[1] = 127;
        extended = 8;
    }
    for (std::size_t i = 0; i < extended; ++i) {
        header[length++] = static_cast<char>(payload.size() >> (8 * (extended - 1 - i)));
    }
    out.append(header.data(), length);
    out.append(payload);
}

void append_close(std::string& out, std::uint16_t code, std::string_view reason) {
    std::string payload;
    if (code != 1005) {
        payload.push_back(static_cast<char>(code >> 8U));
        payload.push_back(static_cast<char>(code & 0xFFU));
        payload.append(reason.substr(0, max_control_payload - 2));
    }
    append_frame(out, opcode::close, true, payload);
}

parse_result parse_client_frame(char* data, std::size_t size, std::uint64_t max_size,
                                client_frame& frame) {
    if (size < 2) return {};
    const auto first = static_cast<std::uint8_t>(data[0]);
    const auto second = static_cast<std::uint8_t>(data[1]);
    const std::uint8_t code = first & 0x0FU;
    if ((first & 0x70U) != 0) return {0, protocol_error, "reserved bits set"};
    if (!known(code)) return {0, protocol_error, "unknown opcode"};
    if ((second & 0x80U) == 0) return {0, protocol_error, "client frame not masked"};

    frame.code = static_cast<opcode>(code);
    frame.fin = (first & 0x80U) != 0;
    std::uint64_t length = second & 0x7FU;
    if ((code & 0x8U) != 0 && (length > max_control_payload || !frame.fin)) {
        return {0, protocol_error, "control frame too long or fragmented"};
    }
    const std::size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    const std::size_t header = 2 + extended + 4;
    if (size < header) return {};
    if (extended != 0) {
        length = big_endian(data + 2, extended);
        if (length < (extended == 2 ? 126U : 65536U)) {
            return {0, protocol_error, "frame length not in its shortest form"};
        }
    }
    if (length > max_size) return {0, message_too_big, "message too big"};
    if (size - header < length) return {};

    std::array<std::uint8_t, 4> key{};
    std::memcpy(key.data(), data + 2 + extended, key.size());
    const auto payload_size = static_cast<std::size_t>(length);
    unmask(data + header, payload_size, key);
    frame.payload = {data + header, payload_size};
    return {header + payload_size, 0, ""};
}

close_payload parse_close(std::string_view payload) {
    if (payload.empty()) return {};
    if (payload.size() == 1) return {protocol_error, false};
    const auto code = static_cast<std::uint16_t>(big_endian(payload.data(), 2));
    // RFC 6455 section 7.4 and the IANA registry: what may appear on the wire.
    const bool standard =
        code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
    if (!standard && (code < 3000 || code > 4999)) return {protocol_error, false};
    utf8_checker text;
    if (!text.feed(payload.data() + 2, payload.size() - 2) || !text.finish()) {
        return {invalid_payload, false};
    }
    return {code, true};
}

}  // namespace wspool::testing
