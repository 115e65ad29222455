#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "first_arrivals.hpp"

using wspool::message_view_t;
using wspool::detail::first_arrivals;

namespace {

bool is_first(first_arrivals& arrivals, std::string_view text, bool is_text = true) {
    message_view_t message;
    message.payload = text;
    message.is_text = is_text;
    return arrivals.is_first(message);
}

std::string numbered(std::size_t number) { return R"({"u":)" + std::to_string(number) + "}"; }

}  // namespace

TEST_CASE("first arrivals: a copy is told, whatever else differs") {
    // The name alone counts: each connection may add values of its own.
    first_arrivals arrivals({"/u"});
    CHECK(is_first(arrivals, R"({"u":1,"connection":"a"})"));
    CHECK_FALSE(is_first(arrivals, R"({"connection":"b", "u": 1})"));
    CHECK(is_first(arrivals, R"({"u":2})"));
    CHECK_FALSE(is_first(arrivals, R"({"u":2})", false));  // binary JSON is JSON
}

TEST_CASE("first arrivals: names are compared exactly") {
    // No hash stands for a name, and no number for another.
    first_arrivals arrivals({"/u"});
    for (const char* one : {R"({"u":1})", R"({"u":10})", R"({"u":"1"})", R"({"u":1.0})",
                            R"({"u":null})", R"({"u":[1]})", R"({"u":{"u":1}})", R"({"u":""})"}) {
        CHECK(is_first(arrivals, one));
    }
    CHECK_FALSE(is_first(arrivals, R"({"u":"1"})"));
    CHECK_FALSE(is_first(arrivals, R"({"u":""})"));
}

TEST_CASE("first arrivals: several values make one name, in order") {
    // Their texts must not run together.
    first_arrivals arrivals({"/s", "/u"});
    CHECK(is_first(arrivals, R"({"s":1,"u":23})"));
    CHECK(is_first(arrivals, R"({"s":12,"u":3})"));
    CHECK(is_first(arrivals, R"({"s":23,"u":1})"));
    CHECK(is_first(arrivals, R"({"s":"a\n1","u":2})"));
    CHECK(is_first(arrivals, R"({"s":"a","u":2})"));
    CHECK_FALSE(is_first(arrivals, R"({"u":23,"s":1})"));
}

TEST_CASE("first arrivals: what has no name always counts") {
    // Acknowledgements and heartbeats have none, and must not be taken for copies.
    first_arrivals arrivals({"/s", "/u"});
    for (int i = 0; i < 3; ++i) {
        CHECK(is_first(arrivals, R"({"s":1})"));
        CHECK(is_first(arrivals, R"({"u":1})"));
        CHECK(is_first(arrivals, R"({"event":"pong"})"));
        CHECK(is_first(arrivals, "not JSON"));
        CHECK(is_first(arrivals, ""));
        CHECK(is_first(arrivals, "\xFF\xFE", false));
    }
}

TEST_CASE("first arrivals: a name above the bound is none") {
    // The memory is bounded in names and in their length.
    first_arrivals arrivals({"/u"});
    const auto named = [](std::size_t size) {
        return R"({"u":")" + std::string(size, 'x') + R"("})";
    };
    const std::size_t longest = first_arrivals::longest_name - 3;  // two quotes, one line end
    CHECK(is_first(arrivals, named(longest)));
    CHECK_FALSE(is_first(arrivals, named(longest)));
    CHECK(is_first(arrivals, named(longest + 1)));
    CHECK(is_first(arrivals, named(longest + 1)));
}

TEST_CASE("first arrivals: of names the last 65,536 are known") {
    // Beyond them the oldest is forgotten, and only that; also where the memory grew on the way.
    constexpr std::size_t known = first_arrivals::most_known;
    first_arrivals arrivals({"/u"});
    for (std::size_t i = 0; i < known; ++i) REQUIRE(is_first(arrivals, numbered(i)));
    for (const std::size_t i : {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, known - 1})
        CHECK_FALSE(is_first(arrivals, numbered(i)));
    for (std::size_t i = 0; i < 3; ++i) REQUIRE(is_first(arrivals, numbered(known + i)));
    CHECK_FALSE(is_first(arrivals, numbered(3)));
    CHECK_FALSE(is_first(arrivals, numbered(known + 2)));
    CHECK(is_first(arrivals, numbered(0)));        // forgotten, and new again
    CHECK_FALSE(is_first(arrivals, numbered(0)));  // it took the place of 3
    CHECK(is_first(arrivals, numbered(3)));
    // Once around again.
    for (std::size_t i = 0; i < known; ++i) REQUIRE(is_first(arrivals, numbered(2 * known + i)));
    CHECK_FALSE(is_first(arrivals, numbered(2 * known)));
    CHECK(is_first(arrivals, numbered(known - 1)));
}
