#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "json/structure.hpp"

using wspool::json::kernels;
using wspool::json::structure;

namespace {

/// Texts out of what matters to the kernels, of lengths around the size of a block.
std::string make_text(std::mt19937& random) {
    static const std::string alphabet = "[[[]]]{}\"\"\"\\\\,,::1x \n\xC3\xA9";
    const std::size_t size = random() % 300;
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += alphabet[random() % alphabet.size()];
    return text;
}

/// Arrays of arrays of strings and numbers, as books of prices are; sometimes broken.
std::string make_book(std::mt19937& random) {
    std::string text = "[";
    const std::size_t levels = 1 + random() % 30;
    for (std::size_t i = 0; i < levels; ++i) {
        if (i != 0) text += ',';
        text += "[\"" + std::string(random() % 70, '7') + "\"," + std::to_string(random() % 1000) +
                ",[[]]]";
    }
    text += ']';
    if (random() % 3 == 0) {
        static const std::string spoiling = "[]{},:\"1 ";
        text[random() % text.size()] = spoiling[random() % spoiling.size()];
    }
    return text;
}

}  // namespace

TEST_CASE("Every kernel finds the same") {
    std::mt19937 random(20261125);
    for (int round = 0; round < 20'000; ++round) {
        const std::string made = round % 2 == 0 ? make_text(random) : make_book(random);
        // Exactly as large as the text, so that a sanitizer sees what is read behind it.
        const std::vector<char> exact(made.begin(), made.end());
        const std::string_view text(exact.data(), exact.size());
        structure expected(kernels().back());
        const bool is_fine = expected.index(text, false);
        for (const auto& kernel : kernels()) {
            CAPTURE(kernel.name);
            CAPTURE(made);
            structure found(kernel);
            REQUIRE(found.index(text, false) == is_fine);
            if (!is_fine) continue;
            REQUIRE(found.has_backslash() == expected.has_backslash());
            REQUIRE(found.is_compact() == expected.is_compact());
            for (std::size_t at = 0; at < text.size(); ++at) {
                if (text[at] != '[' || !found.is_compact() || found.has_backslash()) continue;
                std::vector<std::size_t> scalars;
                std::vector<std::size_t> expected_scalars;
                REQUIRE(found.skip_array(at, scalars) == expected.skip_array(at, expected_scalars));
                REQUIRE(scalars == expected_scalars);
            }
        }
    }
}

TEST_CASE("A string ends where a walk over its bytes says") {
    std::mt19937 random(7);
    for (int round = 0; round < 5'000; ++round) {
        std::string text = "[\"";
        for (std::size_t i = random() % 200; i > 0; --i) {
            const auto choice = random() % 8;
            text += choice == 0 ? "\\\\" : choice == 1 ? "\\\"" : "ab";
        }
        text += "\"]";
        for (const auto& kernel : kernels()) {
            structure found(kernel);
            REQUIRE(found.index(text, true));
            REQUIRE(found.string_end(1) == text.size() - 2);
        }
    }
}
