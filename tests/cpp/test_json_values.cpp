#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json/number.hpp"
#include "json/plain_number.hpp"
#include "json/timestamp.hpp"
#include "json/token.hpp"
#include "wspool/json_finder.hpp"

using namespace wspool;
using namespace wspool::json;
using found_e = json_finder_c::found_e;

namespace {

template <class T, class F>
std::optional<T> parsed(F&& parse, std::string_view text) {
    T out{};
    if (!parse(text, out)) return {};
    return out;
}

std::optional<std::int64_t> int64(std::string_view text) {
    return parsed<std::int64_t>(parse_int64, text);
}

std::optional<std::uint64_t> uint64(std::string_view text) {
    return parsed<std::uint64_t>(parse_uint64, text);
}

std::optional<double> number(std::string_view text) { return parsed<double>(parse_double, text); }

std::optional<std::int64_t> scaled(std::string_view text, int power, unsigned precision) {
    decimal_t decimal;
    int128 out = 0;
    if (!parse_decimal(text, decimal) || !scale(decimal, power, precision, out)) return {};
    return static_cast<std::int64_t>(out);
}

std::optional<std::int64_t> stamp(std::string_view text, time_unit_e unit) {
    std::int64_t out = 0;
    if (!parse_timestamp(text, unit, out)) return {};
    return out;
}

std::optional<std::int64_t> iso(std::string_view text) {
    return parsed<std::int64_t>(parse_iso_time, text);
}

/// What a plain number is read as: its digits, "e-" and how many of them are decimals; empty if it
/// is not that plain.
std::string plain(const std::string& text, char before) {
    // Exactly as much room as it asks for, so that a sanitizer sees what is read around it.
    const std::size_t room = plain_number::longest;
    std::vector<char> exact(text.size() < room ? room - text.size() : 0, before);
    exact.insert(exact.end(), text.begin(), text.end());
    plain_number number;
    if (!number.read(exact.data() + exact.size(), text.size())) return "";
    return std::to_string(number.digits) +
           (number.has_point ? "e-" + std::to_string(number.decimals) : "");
}

found_e find(const std::string& text, const char* pointer, std::string& value) {
    // Exactly as large as the text, so that a sanitizer sees what is read behind it.
    const std::vector<char> exact(text.begin(), text.end());
    json_finder_c finder(*json_pointer_c::Parse(pointer));
    std::string_view found;
    const auto result = finder.Find({exact.data(), exact.size()}, false, found);
    value = found;
    return result;
}

bool is_json(const std::string& text) {
    std::string value;
    const bool wanted = find(text, "", value) == found_e::FOUND;
    // Nothing of it wanted: other ways through the text.
    CHECK((find(text, "/no/such", value) != found_e::NOT_JSON) == wanted);
    CHECK((find(text, "/0/0", value) != found_e::NOT_JSON) == wanted);
    return wanted;
}

}  // namespace

TEST_CASE("Integers are read whole or not at all") {
    CHECK(int64("0") == 0);
    CHECK(int64("-0") == 0);
    CHECK(int64("+7") == 7);
    CHECK(int64("007") == 7);
    CHECK(int64("12345678") == 12345678);
    CHECK(int64("1626916403124") == 1626916403124);
    CHECK(int64("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    CHECK(int64("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
    CHECK(uint64("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
    CHECK(uint64("00000000000000000000000001") == 1);
    CHECK(uint64("-0") == 0);
    for (const char* text :
         {"", "-", "+", "--1", "+-1", "1.0", "1e3", " 1", "1 ", "1_0", "0x1", "9223372036854775808",
          "-9223372036854775809", "123456789a", "a23456789", "1234567:", "12345678901234567890123"})
        CHECK_FALSE(int64(text));
    for (const char* text : {"-1", "18446744073709551616", "99999999999999999999"})
        CHECK_FALSE(uint64(text));
    // Every length, so that every way of taking digits together is gone.
    std::string digits;
    std::uint64_t expected = 0;
    for (int i = 1; i <= 19; ++i) {
        digits += static_cast<char>('0' + i % 10);
        expected = expected * 10 + static_cast<std::uint64_t>(i % 10);
        CHECK(uint64(digits) == expected);
        for (std::size_t at = 0; at < digits.size(); ++at)
            for (const char bad : {'/', ':', ' ', '\0', '\x80', '\xFF'}) {
                std::string broken = digits;
                broken[at] = bad;
                CHECK_FALSE(uint64(broken));
            }
    }
}

TEST_CASE("Numbers are rounded as the compiler rounds them") {
#define WSPOOL_CHECK_NUMBER(literal) CHECK(number(#literal) == literal)
    WSPOOL_CHECK_NUMBER(0.0);
    WSPOOL_CHECK_NUMBER(1.5);
    WSPOOL_CHECK_NUMBER(.5);
    WSPOOL_CHECK_NUMBER(5.);
    WSPOOL_CHECK_NUMBER(0.1);
    WSPOOL_CHECK_NUMBER(35063.10000000);
    WSPOOL_CHECK_NUMBER(0.00001234);
    WSPOOL_CHECK_NUMBER(123456789.123456789);
    WSPOOL_CHECK_NUMBER(9007199254740993.0);
    WSPOOL_CHECK_NUMBER(9007199254740992.5);
    WSPOOL_CHECK_NUMBER(1e22);
    WSPOOL_CHECK_NUMBER(1e23);
    WSPOOL_CHECK_NUMBER(1.7976931348623157e308);
    WSPOOL_CHECK_NUMBER(2.2250738585072014e-308);
    WSPOOL_CHECK_NUMBER(2.2250738585072011e-308);
    WSPOOL_CHECK_NUMBER(5e-324);
    WSPOOL_CHECK_NUMBER(0.1000000000000000055511151231257827021181583404541015625);
    WSPOOL_CHECK_NUMBER(100000000000000000000000000000000000000.25);
    WSPOOL_CHECK_NUMBER(1E5);
    WSPOOL_CHECK_NUMBER(1e+5);
#undef WSPOOL_CHECK_NUMBER
    CHECK(number("-1.25") == -1.25);
    CHECK(number("+1.25") == 1.25);
    CHECK(number("00012.50") == 12.5);
    CHECK(std::signbit(*number("-0")));
    CHECK(number("1e-400") == 0.0);
    CHECK(number("2.4703282292062327e-324") == 0.0);
    for (const char* text : {"",    ".",        "-",     "e5",     "1e",
                             "1e+", "1.2.3",    "1e400", "-1e400", "NaN",
                             "nan", "Infinity", "inf",   "0x10",   "1,5",
                             " 1",  "1 ",       "1_0",   "1e5.0",  "1.7976931348623159e308",
                             "--1"})
        CHECK_FALSE(number(text));
}

TEST_CASE("Decimals keep every digit or are refused") {
    CHECK(scaled("1.25", 2, 10) == 125);
    CHECK(scaled("1.2500", 2, 10) == 125);
    CHECK(scaled("-0.01", 2, 10) == -1);
    CHECK(scaled("1e3", 0, 10) == 1000);
    CHECK(scaled("12e-1", 1, 10) == 12);
    CHECK(scaled("0.000", 0, 1) == 0);
    CHECK(scaled("0e999999999999", 0, 1) == 0);
    CHECK(scaled("99", 0, 2) == 99);
    CHECK_FALSE(scaled("1.255", 2, 10));
    CHECK_FALSE(scaled("100", 0, 2));
    CHECK_FALSE(scaled("1e400", 2, 38));
    CHECK_FALSE(scaled("1e-400", 2, 38));
    CHECK_FALSE(scaled("x", 2, 38));
    decimal_t decimal;
    const std::string most(38, '9');
    CHECK(parse_decimal(most, decimal));
    CHECK(parse_decimal(most + std::string(50, '0'), decimal));
    CHECK(parse_decimal("0." + std::string(50, '0') + most, decimal));
    CHECK_FALSE(parse_decimal(most + "1", decimal));
}

TEST_CASE("Timestamps count their unit, and with a fraction seconds") {
    using unit_e = time_unit_e;
    CHECK(stamp("1626916403", unit_e::SECONDS) == 1626916403);
    CHECK(stamp("1626916403124", unit_e::MILLISECONDS) == 1626916403124);
    CHECK(stamp("1626916403.801801", unit_e::MICROSECONDS) == 1626916403801801);
    CHECK(stamp("1626916403.801801", unit_e::SECONDS) == 1626916403);
    CHECK(stamp("1626916403801.5", unit_e::MILLISECONDS) == 1626916403801);
    CHECK(stamp("-0.5", unit_e::SECONDS) == -1);
    CHECK(stamp("-1.0005", unit_e::MILLISECONDS) == -1001);
    CHECK(stamp("1e3", unit_e::MILLISECONDS) == 1'000'000);
    CHECK(stamp("99999999999.5", unit_e::MILLISECONDS) == 99999999999500);
    CHECK(stamp("100000000000.5", unit_e::MILLISECONDS) == 100000000000);
    CHECK_FALSE(stamp("1e40", unit_e::SECONDS));
    CHECK_FALSE(stamp("soon", unit_e::SECONDS));
    CHECK_FALSE(stamp("9223372036854775808", unit_e::SECONDS));
}

TEST_CASE("ISO 8601 times are those of the calendar") {
    CHECK(iso("1970-01-01") == 0);
    CHECK(iso("1970-01-01T00:00:00Z") == 0);
    CHECK(iso("1969-12-31 23:59:59.999999999") == -1);
    CHECK(iso("2021-07-22T01:13:23.124Z") == 1626916403124000000);
    CHECK(iso("2021-07-22T01:13+05:30") == 1626896580000000000);
    CHECK(iso("2021-07-22T01:13-0530") == 1626936180000000000);
    CHECK(iso("2021-07-22T01:13:00.1234567899Z") == 1626916380123456789);
    CHECK(iso("2000-02-29") == 951782400000000000);
    CHECK(iso("2262-04-11T23:47:16.854775807Z") == std::numeric_limits<std::int64_t>::max());
    for (const char* text : {"",
                             "2021",
                             "2021-7-22",
                             "2021-02-29",
                             "1900-02-29",
                             "2021-13-01",
                             "2021-00-01",
                             "2021-01-00",
                             "2021-04-31",
                             "2021-07-22T",
                             "2021-07-22T24:00",
                             "2021-07-22T01:60",
                             "2021-07-22T01:13:60",
                             "2021-07-22T01:13:23.",
                             "2021-07-22T01:13:23,5",
                             "2021-07-22Z",
                             "2021-07-22T01:13:23+24",
                             "2021-07-22T01:13:23Zx",
                             "1677-09-21T00:12:43Z",
                             "2262-04-11T23:47:16.854775808Z",
                             "20210722T011323Z"})
        CHECK_FALSE(iso(text));
}

TEST_CASE("Escapes become what they stand for") {
    std::string out;
    CHECK(unescape(R"(a\n\t\"\\\/\b\f\r)", out));
    CHECK(out == "a\n\t\"\\/\b\f\r");
    CHECK(unescape(R"(\u00e9\u20AC\ud83d\ude00\u0000)", out));
    CHECK(out == std::string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\0", 10));
    for (const char* text :
         {R"(\ud800)", R"(\udc00)", R"(\ud83d\n)", R"(\ud83d\u0041)", R"(\ud83dx)"}) {
        CHECK(check_escapes(text));
        CHECK_FALSE(unescape(text, out));
    }
    for (const char* text : {R"(\x)", R"(\u12)", R"(\u12g4)", R"(\)", R"(\U0041)", R"(\')"})
        CHECK_FALSE(check_escapes(text));
}

TEST_CASE("JSON is what RFC 8259 says, and NaN and Infinity") {
    for (const char* text :
         {"{}", "[]", "0", "-1.5e+3", "\"\"", "true", "null", "NaN", "[-Infinity]", " [ 1 , 2 ] ",
          R"({"a":{"b":[1,{"c":"d"},[]]},"e":null})", R"(["\u0041\\"])", "[[1,2],[3,\"]\"]]",
          "\t{\n\"a\" :\r1}", R"({"a":1,"a":2})", "[[[[[[]]]]]]", "[1e5,0.5,-0]"})
        CHECK_MESSAGE(is_json(text), text);
    for (const char* text : {"",
                             " ",
                             "{",
                             "}",
                             "[",
                             "]",
                             "[1",
                             "1]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{,}",
                             "[,]",
                             "[1,]",
                             "[,1]",
                             "[1,,2]",
                             "[1 2]",
                             "[1}",
                             "{\"a\":1]",
                             "{1:2}",
                             "{\"a\" 1}",
                             "{\"a\"::1}",
                             "{\"a\":1:2}",
                             "[\"a\":1]",
                             "01",
                             "1.",
                             ".5",
                             "+1",
                             "-",
                             "1e",
                             "tru",
                             "nul",
                             "True",
                             "nan",
                             "[1]]",
                             "[1][2]",
                             "{}{}",
                             "\"",
                             "\"a",
                             "\"\\\"",
                             "\"\x01\"",
                             "[\"a\"b]",
                             "[1\"a\"]",
                             "'a'",
                             "[\"\\x\"]",
                             "\xEF\xBB\xBF[]",
                             "[\"\xC3\"]",
                             "[\"\xED\xA0\x80\"]",
                             "[1]\x01",
                             "[1\f]",
                             "//\n[]",
                             "[[1,2],[3,4}]",
                             "[[\"a\"],[\"b\"],]",
                             "[[\"a\"][\"b\"]]",
                             "[[]1]"})
        CHECK_FALSE_MESSAGE(is_json(text), text);
}

TEST_CASE("What a pointer finds") {
    std::string value;
    const std::string text = R"({"a":[10,{"b~/c":"x"}],"a/b":1,"":{"":2},"0":"zero"})";
    CHECK(find(text, "/a/0", value) == found_e::FOUND);
    CHECK(value == "10");
    CHECK(find(text, "/a/1/b~0~1c", value) == found_e::FOUND);
    CHECK(value == "\"x\"");
    CHECK(find(text, "//", value) == found_e::FOUND);
    CHECK(value == "2");
    CHECK(find(text, "/0", value) == found_e::FOUND);
    CHECK(find(text, "/a/2", value) == found_e::MISSING);
    CHECK(find(text, "/a/00", value) == found_e::MISSING);
    CHECK(find(R"({"a":{"b":1},"a":{"c":2}})", "/a/b", value) == found_e::MISSING);
    CHECK(find(R"({"\u0061":{"b":1}})", "/a/b", value) == found_e::FOUND);
    CHECK_FALSE(json_pointer_c::Parse("a"));
    CHECK_FALSE(json_pointer_c::Parse("/~2"));
    CHECK_FALSE(json_pointer_c::Parse("/a~"));
}

TEST_CASE("plain numbers: digits with a point anywhere among them, and nothing else") {
    if (!plain_number::can_read()) return;
    const std::string all = "1234567890123456";
    for (const char before : {'0', '9', '.', '"', '\xFF'}) {
        CAPTURE(before);
        for (std::size_t size = 1; size <= 16; ++size) {
            const std::string digits = all.substr(0, size);
            CHECK(plain(digits, before) == digits);
            CHECK(plain(std::string(size, '0'), before) == "0");
            for (std::size_t place = 0; place < size; ++place) {
                std::string text = digits;
                for (const char other : {'/', ':', '-', '+', 'e', ' ', '\0', '\x80', '\xFF', '"'}) {
                    text[place] = other;
                    CHECK(plain(text, before).empty());
                }
                text[place] = '.';
                const std::string rest = text.substr(0, place) + text.substr(place + 1);
                if (rest.empty()) {
                    CHECK(plain(text, before).empty());
                    continue;
                }
                CHECK(plain(text, before) ==
                      std::to_string(std::stoull(rest)) + "e-" + std::to_string(size - 1 - place));
                if (size == 1) continue;
                text[place == 0 ? 1 : place - 1] = '.';
                CHECK(plain(text, before).empty());
            }
        }
        CHECK(plain("", before).empty());
        CHECK(plain(all + "7", before).empty());
    }
}
