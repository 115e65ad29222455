#include "protocol/utf8.hpp"

#include <simdjson.h>

namespace wspool::protocol {

namespace {

/// Length of the character that starts with `lead`; 0 if none can.
std::size_t character_length(unsigned char lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2) return 0;  // continuation bytes, and C0, C1: overlong
    if (lead < 0xE0) return 2;
    if (lead < 0xF0) return 3;
    if (lead < 0xF5) return 4;
    return 0;  // above U+10FFFF
}

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/// Whether `size` bytes can begin (or be) one character: RFC 3629 section 4.
bool can_begin_character(const unsigned char* bytes, std::size_t size) {
    if (character_length(bytes[0]) < size) return false;
    for (std::size_t i = 1; i < size; ++i) {
        if (!is_continuation(bytes[i])) return false;
    }
    if (size < 2) return character_length(bytes[0]) != 0;
    switch (bytes[0]) {
        case 0xE0:
            return bytes[1] >= 0xA0;  // overlong below
        case 0xED:
            return bytes[1] <= 0x9F;  // surrogates above
        case 0xF0:
            return bytes[1] >= 0x90;  // overlong below
        case 0xF4:
            return bytes[1] <= 0x8F;  // above U+10FFFF
        default:
            return true;
    }
}

/// How many bytes at the end belong to a character that is not complete.
std::size_t incomplete_tail(const unsigned char* text, std::size_t size) {
    for (std::size_t back = 1; back <= 3 && back <= size; ++back) {
        const unsigned char byte = text[size - back];
        if (is_continuation(byte)) continue;
        return character_length(byte) > back ? back : 0;
    }
    return 0;
}

}  // namespace

bool is_utf8(const char* text, std::size_t size) { return simdjson::validate_utf8(text, size); }

bool utf8_validator::consume(const char* text, std::size_t size) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text);
    while (held_ != 0 && size != 0) {
        partial_[held_++] = *bytes++;
        --size;
        if (!can_begin_character(partial_.data(), held_)) return false;
        if (held_ == character_length(partial_[0])) held_ = 0;
    }
    if (size == 0) return true;
    const std::size_t tail = incomplete_tail(bytes, size);
    if (!is_utf8(reinterpret_cast<const char*>(bytes), size - tail)) return false;
    for (std::size_t i = 0; i < tail; ++i) partial_[i] = bytes[size - tail + i];
    held_ = tail;
    return tail == 0 || can_begin_character(partial_.data(), tail);
}

}  // namespace wspool::protocol
