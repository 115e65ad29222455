#include <doctest/doctest.h>
#include <simdjson.h>

#include <random>
#include <string>
#include <vector>

#include "json/array_skipper.hpp"
#include "json/structure.hpp"

using wspool::json::array_skipper;
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

std::string make_string(std::mt19937& random) {
    static const std::string alphabet = "0123456789.aZ {:";
    std::string text = "\"";
    for (std::size_t i = random() % (random() % 8 == 0 ? 200 : 12); i > 0; --i)
        text += alphabet[random() % alphabet.size()];
    return text + '"';
}

/// Arrays of arrays of strings, as books of prices are, and of other things; sometimes broken.
std::string make_book(std::mt19937& random) {
    const bool only_strings = random() % 2 == 0;
    const bool is_flat = random() % 8 == 0;
    std::string text = random() % 16 == 0 ? "[[" : "[";
    const std::string end = text.size() == 2 ? "]]" : "]";
    const std::size_t levels = 1 + random() % 60;
    for (std::size_t i = 0; i < levels; ++i) {
        if (i != 0) text += ',';
        if (is_flat) {
            text += make_string(random);
        } else if (random() % 16 == 0) {
            text += "[]";
        } else {
            text += "[" + make_string(random) + ",";
            text += only_strings ? make_string(random) : std::to_string(random() % 1000) + ",[[]]";
            text += "]";
        }
    }
    text += end;
    static const std::string spoiling = "[]{},:\"1 \\\n\x01";
    for (std::size_t i = random() % 3; i > 0; --i) {
        const std::size_t at = random() % text.size();
        if (random() % 3 == 0)
            text[at] = spoiling[random() % spoiling.size()];
        else if (random() % 2 == 0)
            text.insert(at, 1, spoiling[random() % spoiling.size()]);
        else
            text.erase(at, 1);
        if (text.empty()) text = "[";
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
            array_skipper arrays(kernel);
            array_skipper plain(kernels().back());
            const char* const end = text.data() + text.size();
            for (const char* at = text.data(); at != end; ++at)
                if (*at == '[') REQUIRE(arrays.skip(at, end) == plain.skip(at, end));
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

TEST_CASE("An array ends where it ends, wherever in a block that is") {
    simdjson::dom::parser parser;
    for (std::size_t before = 0; before < 130; ++before) {
        std::string begin = "[[\"" + std::string(before, '7') + "\"]";
        for (int i = 0; i < 20; ++i) begin += R"(,["1.5","2"])";
        for (const std::string tail :
             {"]", ",]", ",[]]", ",[]", ",[],[[]]]", ",[,]]", ",[\"3\"]],[\"4\"]]", "]]", ",\"5\"]",
              ",[\"6\",]]", "[\"6\"]]", "\"6\"]", ",[[\"6\"],[\"7\"]]]", ",[\"6\",7]]", ",[8"}) {
            const std::string text = begin + tail;
            CAPTURE(text);
            // The first place where a bracket closes the first one.
            std::size_t end = 0;
            int depth = 0;
            do {
                if (text[end] == '[') ++depth;
                if (text[end] == ']') --depth;
            } while (++end != text.size() && depth != 0);
            simdjson::dom::element parsed;
            const bool is_json = parser.parse(text.data(), end).get(parsed) == simdjson::SUCCESS;
            for (const auto& kernel : kernels()) {
                CAPTURE(kernel.name);
                array_skipper arrays(kernel);
                const char* const found = arrays.skip(text.data(), text.data() + text.size());
                REQUIRE(found == (is_json ? text.data() + end : nullptr));
            }
        }
    }
}

TEST_CASE("What is passed over is an array that simdjson parses; and what could be, is") {
    std::mt19937 random(20261126);
    simdjson::dom::parser parser;
    const auto is_json = [&parser](std::string_view text) {
        simdjson::dom::element parsed;
        return parser.parse(text.data(), text.size()).get(parsed) == simdjson::SUCCESS;
    };
    std::size_t passed = 0;
    for (int round = 0; round < 30'000; ++round) {
        const std::string made = make_book(random);
        const std::size_t begin = made.find('[', random() % 4 == 0 ? random() % made.size() : 0);
        if (begin == std::string::npos) continue;
        // Exactly as large as the text, so that a sanitizer sees what is read behind it.
        const std::vector<char> exact(made.begin() + static_cast<std::ptrdiff_t>(begin),
                                      made.end());
        const std::string_view text(exact.data(), exact.size());
        const bool is_simple = text.find_first_of(" {\\\n\x01") == std::string_view::npos;
        for (const auto& kernel : kernels()) {
            CAPTURE(kernel.name);
            CAPTURE(made);
            array_skipper arrays(kernel);
            const char* const end = arrays.skip(text.data(), text.data() + text.size());
            if (end != nullptr) {
                REQUIRE(is_json({text.data(), static_cast<std::size_t>(end - text.data())}));
                ++passed;
            } else if (is_simple) {
                REQUIRE_FALSE(is_json(text));
            }
        }
    }
    CHECK(passed > 10'000);
}
