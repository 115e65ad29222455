#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "protocol/frame.hpp"

using namespace wspool::protocol;

TEST_CASE("mask_copy: all sizes and alignments equal masking byte by byte") {
    // The word-wise loop and its tail must not shift the key.
    std::vector<char> in(400);
    std::vector<char> out(400);
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<char>(i * 7 + 3);
    const std::uint32_t key = 0xA1B2C3D4;
    char bytes[4];
    std::memcpy(bytes, &key, 4);
    bool right = true;
    for (std::size_t size = 0; size <= 200; ++size) {
        for (std::size_t from = 0; from < 9; ++from) {
            for (std::size_t to = 0; to < 9; ++to) {
                std::fill(out.begin(), out.end(), '\x55');
                mask_copy(out.data() + to, in.data() + from, size, key);
                for (std::size_t i = 0; i < size; ++i) {
                    right &= out[to + i] == static_cast<char>(in[from + i] ^ bytes[i % 4]);
                }
                right &= out[to + size] == '\x55' && (to == 0 || out[to - 1] == '\x55');
            }
        }
    }
    CHECK(right);
}

TEST_CASE("write_client_frame: header and size at every length form's edge") {
    // The shortest form is a MUST (RFC 6455 section 5.2), and the size is what callers allocate.
    for (const std::size_t size : {0U, 1U, 125U, 126U, 65535U, 65536U, 70000U}) {
        const std::string payload(size, 'p');
        std::vector<char> out(client_frame_size(size) + 1, '\x55');
        write_client_frame(out.data(), opcode_e::binary, true, false, payload, 0);
        CHECK(out.back() == '\x55');
        CHECK(static_cast<unsigned char>(out[0]) == 0x82);
        const unsigned length = static_cast<unsigned char>(out[1]);
        CHECK((length & 0x80U) != 0);
        const std::size_t header = size < 126 ? 2 : size < 65536 ? 4 : 10;
        CHECK((length & 0x7FU) == (size < 126 ? size : size < 65536 ? 126 : 127));
        std::uint64_t told = size < 126 ? size : 0;
        for (std::size_t i = 2; i < header; ++i)
            told = told << 8 | static_cast<unsigned char>(out[i]);
        CHECK(told == size);
        CHECK(client_frame_size(size) == header + 4 + size);
        CHECK(std::string_view(out.data() + header + 4, size) == payload);  // the key is 0
    }
}

TEST_CASE("write_client_frame: flags stand in the first byte") {
    // FIN, RSV1 (RFC 7692) and the opcode share it.
    char out[16];
    write_client_frame(out, opcode_e::text, false, true, "x", 1);
    CHECK(static_cast<unsigned char>(out[0]) == 0x41);
    write_client_frame(out, opcode_e::ping, true, false, "x", 1);
    CHECK(static_cast<unsigned char>(out[0]) == 0x89);
}

TEST_CASE("is_sendable_close_code: RFC 6455 section 7.4 and the registry") {
    // 1004 is reserved, 1005, 1006 and 1015 stand for what was not sent.
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        const bool expected = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                              (code >= 3000 && code <= 4999);
        if (is_sendable_close_code(code) != expected) FAIL_CHECK("code " << code);
    }
}
