#include "json/token.hpp"

#include <cstring>

#include "json/digits.hpp"

namespace wspool::json {
namespace {

bool is_digit(char c) noexcept { return static_cast<unsigned char>(c - '0') < 10; }

const char* skip_digits(const char* at, const char* end) noexcept {
    while (has_eight_digits && end - at >= eight && are_eight_digits(load_eight(at))) at += eight;
    while (at != end && is_digit(*at)) ++at;
    return at;
}

/// The end of the number (RFC 8259 section 6) that begins here; null if there is none.
const char* number_end(const char* at, const char* end) noexcept {
    if (at != end && *at == '-') ++at;
    if (at == end || !is_digit(*at)) return nullptr;
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at != end && *at == '.') {
        const char* const fraction = ++at;
        at = skip_digits(at, end);
        if (at == fraction) return nullptr;
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        if (++at != end && (*at == '+' || *at == '-')) ++at;
        const char* const exponent = at;
        at = skip_digits(at, end);
        if (at == exponent) return nullptr;
    }
    return at;
}

const char* word_end(const char* at, const char* end, std::string_view word) noexcept {
    if (static_cast<std::size_t>(end - at) < word.size()) return nullptr;
    return std::memcmp(at, word.data(), word.size()) == 0 ? at + word.size() : nullptr;
}

/// The value of four hexadecimal digits; -1 if they are none.
int hexadecimal(const char* at) noexcept {
    int value = 0;
    for (int i = 0; i < 4; ++i) {
        const char c = at[i];
        const char lower = static_cast<char>(c | 0x20);
        value <<= 4;
        if (is_digit(c))
            value |= c - '0';
        else if (lower >= 'a' && lower <= 'f')
            value |= lower - 'a' + 10;
        else
            return -1;
    }
    return value;
}

void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
        return;
    }
    const auto tail = [&](unsigned shift) {
        out += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
    };
    if (code < 0x800) {
        out += static_cast<char>(0xC0U | (code >> 6U));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xE0U | (code >> 12U));
        tail(6);
    } else {
        out += static_cast<char>(0xF0U | (code >> 18U));
        tail(12);
        tail(6);
    }
    tail(0);
}

char simple_escape(char c) noexcept {
    switch (c) {
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return c;
    }
}

}  // namespace

const char* scalar_end(const char* begin, const char* end) noexcept {
    const char* const at = begin;
    switch (*at) {
        case 't':
            return word_end(at, end, "true");
        case 'f':
            return word_end(at, end, "false");
        case 'n':
            return word_end(at, end, "null");
        case 'N':
            return word_end(at, end, "NaN");
        case 'I':
            return word_end(at, end, "Infinity");
        case '-':
            if (at + 1 != end && at[1] == 'I') return word_end(at, end, "-Infinity");
            break;
        default:
            break;
    }
    return number_end(at, end);
}

bool check_escapes(std::string_view inside) noexcept {
    const char* at = inside.data();
    const char* const end = at + inside.size();
    while (true) {
        at = static_cast<const char*>(std::memchr(at, '\\', static_cast<std::size_t>(end - at)));
        if (at == nullptr) return true;
        if (++at == end) return false;
        if (*at == 'u') {
            if (end - at < 5 || hexadecimal(at + 1) < 0) return false;
            at += 5;
        } else if (*at != '\0' && std::strchr("\"\\/bfnrt", *at) != nullptr) {
            ++at;
        } else {
            return false;
        }
        if (at == end) return true;
    }
}

bool unescape(std::string_view inside, std::string& out) {
    out.clear();
    const char* at = inside.data();
    const char* const end = at + inside.size();
    while (at != end) {
        const auto left = static_cast<std::size_t>(end - at);
        const auto* const next = static_cast<const char*>(std::memchr(at, '\\', left));
        out.append(at, next == nullptr ? end : next);
        if (next == nullptr) return true;
        at = next + 2;
        if (next[1] != 'u') {
            out += simple_escape(next[1]);
            continue;
        }
        auto code = static_cast<unsigned>(hexadecimal(at));
        at += 4;
        if (code >= 0xDC00 && code < 0xE000) return false;
        if (code >= 0xD800 && code < 0xDC00) {
            if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return false;
            const auto low = static_cast<unsigned>(hexadecimal(at + 2));
            if (low < 0xDC00 || low >= 0xE000) return false;
            code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
            at += 6;
        }
        append_utf8(out, code);
    }
    return true;
}

}  // namespace wspool::json
