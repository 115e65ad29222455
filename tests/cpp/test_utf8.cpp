#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "protocol/utf8.hpp"

using wspool::protocol::utf8_validator;

namespace {

/// Slow and plain: the well-formed sequences of RFC 3629 section 4, as ranges.
const std::vector<std::vector<std::pair<int, int>>>& well_formed() {
    static const std::vector<std::vector<std::pair<int, int>>> table = {
        {{0x00, 0x7F}},
        {{0xC2, 0xDF}, {0x80, 0xBF}},
        {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
        {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
        {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
        {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
        {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
        {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
        {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
    };
    return table;
}

struct reference_t {
    std::size_t possible = 0;  // so many bytes can begin a valid text
    bool complete = false;     // and all of them end with a character
};

reference_t reference(const std::string& text) {
    std::size_t at = 0;
    while (at < text.size()) {
        std::size_t longest = 0;
        bool whole = false;
        for (const auto& row : well_formed()) {
            std::size_t n = 0;
            while (n < row.size() && at + n < text.size()) {
                const int byte = static_cast<unsigned char>(text[at + n]);
                if (byte < row[n].first || byte > row[n].second) break;
                ++n;
            }
            if (n == row.size()) {
                whole = true;
                longest = n;
                break;
            }
            longest = std::max(longest, n);
        }
        if (!whole) return {at + longest, false};
        at += longest;
    }
    return {at, true};
}

void check(const std::string& text) {
    const reference_t expected = reference(text);
    const bool possible = expected.possible == text.size();
    bool right = true;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        utf8_validator v;
        const bool first = v.consume(text.data(), cut);
        right &= first == (expected.possible >= cut);
        if (!first) continue;
        right &= v.complete() == reference(text.substr(0, cut)).complete;
        const bool second = v.consume(text.data() + cut, text.size() - cut);
        right &= second == possible;
        if (second) right &= v.complete() == expected.complete;
    }
    utf8_validator v;  // and byte by byte, up to the first impossible one
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool ok = v.consume(&text[i], 1);
        right &= ok == (i < expected.possible);
        if (!ok) break;
    }
    if (!right) {
        std::string hex;
        for (const unsigned char c : text) hex += std::to_string(int{c}) + " ";
        FAIL_CHECK("bytes " << hex);
    }
}

// Both sides of every boundary in the table.
constexpr std::array<unsigned char, 34> edges = {
    0x00, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBE,
    0xBF, 0xC0, 0xC1, 0xC2, 0xDE, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
    0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFE, 0xFF};

}  // namespace

TEST_CASE("utf8_validator.consume: sequences of up to four boundary bytes, cut everywhere") {
    // Every rule of RFC 3629 sits at a boundary of one of the first four bytes.
    std::string text;
    const auto all = [&](const auto& self, std::size_t left) -> void {
        check(text);
        if (left == 0) return;
        for (const unsigned char byte : edges) {
            text.push_back(static_cast<char>(byte));
            self(self, left - 1);
            text.pop_back();
        }
    };
    all(all, 3);
    for (const unsigned char first : {0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xEF, 0xC2, 0x41}) {
        text.assign(1, static_cast<char>(first));
        all(all, 3);
    }
}

TEST_CASE("utf8_validator.consume: every sequence of two bytes, behind a long text") {
    // The SIMD check works on blocks of 64 bytes: the end of one must not hide an error.
    for (const std::size_t before : {61U, 62U, 63U, 64U, 65U}) {
        for (int a = 0; a < 256; ++a) {
            for (int b = 0; b < 256; b += a < 0x80 ? 37 : 1) {
                std::string text(before, 'x');
                text.push_back(static_cast<char>(a));
                text.push_back(static_cast<char>(b));
                utf8_validator v;
                const auto expected = reference(text);
                const bool ok = v.consume(text.data(), text.size());
                if (ok != (expected.possible == text.size()) ||
                    (ok && v.complete() != expected.complete)) {
                    FAIL_CHECK("bytes " << a << " " << b << " behind " << before);
                }
            }
        }
    }
}

TEST_CASE("utf8_validator.reset: forgets a character that was cut") {
    // The next message begins anew.
    utf8_validator v;
    CHECK(v.consume("\xE2\x82", 2));
    CHECK_FALSE(v.complete());
    v.reset();
    CHECK(v.complete());
    CHECK(v.consume("a", 1));
}

TEST_CASE("is_utf8: an empty text is valid") {
    // A null pointer with size 0 is what an empty string_view holds.
    CHECK(wspool::protocol::is_utf8(nullptr, 0));
}

TEST_CASE("is_ascii: finds a byte above 127 wherever it stands, whatever the length") {
    // Lengths around each step of the loops, and a start that no vector is aligned to.
    for (std::size_t size = 0; size < 300; ++size) {
        std::string text(size + 1, 'a');
        const char* const begin = text.data() + 1;
        CHECK(wspool::protocol::is_ascii(begin, size));
        text[0] = '\x80';
        CHECK(wspool::protocol::is_ascii(begin, size));
        for (std::size_t at = 0; at < size; ++at) {
            text[at + 1] = '\x80';
            CHECK_FALSE(wspool::protocol::is_ascii(begin, size));
            text[at + 1] = '\x7F';
        }
    }
}
