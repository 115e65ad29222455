/// Messages that are laid out as the ones before are read in a shorter way: with the same result.

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wspool/record_picker.hpp"

using namespace wspool;
using outcome_e = record_picker_c::outcome_e;
using strings = std::vector<std::string>;

namespace {

std::shared_ptr<const field_set_c> schema() {
    fields_t fields;
    for (const auto& [pointer, type] : std::vector<std::pair<std::string, std::string>>{
             {"", "json"},
             {"/s", "string"},
             {"/s", "category"},
             {"/p", "float64"},
             {"/p", "json"},
             {"/q", "decimal128(30,8)"},
             {"/n", "int64"},
             {"/n", "uint64"},
             {"/t", "timestamp[ms]"},
             {"/m", "bool"},
             {"/d/x", "json"},
             {"/d/y", "float64"},
             {"/a", "list<float64>"},
             {"/b", "list<list<decimal128(20,4)>>"},
             {"/b", "json"},
             {"/a long name, longer than a vector", "json"},
         })
        fields.columns.push_back(
            {"c" + std::to_string(fields.columns.size()), pointer, *column_type_t::Parse(type)});
    // The whole message is an object, and no layout knows where that is.
    fields.columns.erase(fields.columns.begin());
    error_ptr error;
    auto compiled = field_set_c::Compile({fields}, error);
    REQUIRE_FALSE(error);
    return compiled;
}

void append(strings& to, const byte_store_c& bytes) { to.emplace_back(bytes.Data(), bytes.Size()); }

void append(strings& to, const column_data_t& column) {
    to.push_back(std::to_string(column.length) + " rows, " + std::to_string(column.null_count));
    append(to, column.validity);
    append(to, column.offsets);
    append(to, column.values);
    if (column.items) append(to, *column.items);
}

/// All that a picker makes of a text.
strings picked(record_picker_c& picker, std::string_view text, bool is_text) {
    // Exactly as large as the text, so that a sanitizer sees what is read around it.
    const std::vector<char> exact(text.begin(), text.end());
    message_view_t message;
    message.payload = {exact.data(), exact.size()};
    message.is_text = is_text;
    strings all{std::to_string(static_cast<int>(picker.Pick(message)))};
    const auto batch = picker.Finish(0);
    for (const auto& column : batch->columns) {
        append(all, *column);
        // A dictionary keeps what it has had; of a category the text counts.
        if (column->dictionary && column->length == 1 && column->null_count == 0) {
            std::uint32_t number = 0;
            std::memcpy(&number, column->values.Data(), sizeof number);
            std::int32_t range[2];
            std::memcpy(range, column->dictionary->offsets.Data() + std::size_t{number} * 4,
                        sizeof range);
            all[all.size() - 1] = std::string(column->dictionary->values.Data() + range[0],
                                              static_cast<std::size_t>(range[1] - range[0]));
        }
    }
    for (const auto& mistakes : batch->mistakes) all.push_back(std::to_string(mistakes.count));
    return all;
}

const strings& messages() {
    static const strings all{
        R"({"s":"BTCUSDT","p":"4.28874","q":"194","n":859609975,"t":1626916403124,"m":true})",
        R"({"s":"X","p":"31999.01000000","q":"-0.00100000","n":0,"t":1626916403.124,"m":false})",
        R"({"s": "a b!c", "p": 1e5, "d": {"x": null, "y": "7."}, "n": -5, "m": 1})"
        "\n",
        R"({"d":{"x":{},"y":".5"},"a":3,"s":"","p":"12345678901234567","n":"18446744073709551615"})",
        R"({"a long name, longer than a vector":"of 17 characters.","s":"naïve €","p":"."})",
        R"({"p":"1.2.3","p":"5","s":"twice","n":"+7","q":"1234567890.12345678","m":"true"})",
        R"({"s":"with \"escape\"","p":"1","n":1})",
        R"({"s":"x","a":[1,2,3],"p":"1"})",
        R"({"E":1,"a":["1","2"],"b":[["1.5","2"],["37961.07","0.003"],[],["6","a ]b"]],"s":"x"})",
        R"({"b":[["30321.01","0.5"],["30321.02","17.25"],["30321.05","0.25"],["30321.10","1"],)"
        R"(["30322.00","0.75"]],"u":[[1.5,true,null],[[]],"z"],"a":[],"p":1})",
        R"("4.28874 alone")",
        R"(4.28874)",
    };
    return all;
}

constexpr std::string_view spoiling = "[]{},:\"\\ 01239.eE-+tfnN\t\x01\xC3";

/// Sets that want elements of arrays, by number and as rows.
std::vector<std::shared_ptr<const field_set_c>> sets_into_arrays() {
    fields_t numbered;
    numbered.columns = {{"n", "/n", *column_type_t::Parse("int64")},
                        {"second", "/b/1/0", *column_type_t::Parse("string")},
                        {"x", "/b/0/x", *column_type_t::Parse("json")},
                        {"z", "/z", *column_type_t::Parse("int64")}};
    fields_t rows;
    rows.rows = "/b";
    rows.columns = {{"level", "", *column_type_t::Parse("json")},
                    {"x", "/x", *column_type_t::Parse("json")},
                    {"n", "../n", *column_type_t::Parse("int64")}};
    std::vector<std::shared_ptr<const field_set_c>> sets;
    for (const fields_t& fields : {numbered, rows}) {
        error_ptr error;
        sets.push_back(field_set_c::Compile({fields}, error));
        REQUIRE_FALSE(error);
    }
    return sets;
}

/// A value of a random kind, in which names of the schema come again.
std::string make_value(std::mt19937& random, int depth) {
    static const strings simple{
        "1",        "-5",           "1.5e3", "7.25",  "0",
        "01",       "null",         "true",  R"("")", R"("12")",
        R"("a b")", R"("x\n")",     "[]",    "{}",    R"([["1.5","2"],["3","4"]])",
        "[1,2]",    R"(["a",null])"};
    static const strings names{"s", "p", "n", "b", "d", "x", "z", "a"};
    const auto kind = depth == 0 ? 0 : random() % 8;
    if (kind < 6) return simple[random() % (random() % 2 == 0 ? simple.size() : 4)];
    const std::string space = random() % 16 == 0 ? " " : "";
    std::string text;
    for (auto count = random() % 4; count > 0; --count) {
        if (!text.empty()) text += "," + space;
        if (kind == 6) text += '"' + names[random() % names.size()] + "\":" + space;
        text += make_value(random, depth - 1);
    }
    return kind == 6 ? "{" + text + "}" : "[" + text + "]";
}

}  // namespace

TEST_CASE("layout: what is laid out as before gives the same, whatever is in it") {
    const auto fields = schema();
    for (const std::string& first : messages()) {
        // It has learned the layout once the message has come three times.
        record_picker_c warm(fields);
        for (int i = 0; i < 4; ++i) picked(warm, first, true);
        for (const bool is_text : {true, false}) {
            for (std::size_t place = 0; place < first.size(); ++place) {
                for (const char c : spoiling) {
                    std::string text = first;
                    text[place] = c;
                    if (is_text && c == '\xC3') continue;  // what is text has been checked
                    CAPTURE(text);
                    record_picker_c fresh(fields);
                    REQUIRE(picked(warm, text, is_text) == picked(fresh, text, is_text));
                    // A miss must not keep it from using what it knows.
                    REQUIRE(picked(warm, first, is_text) == picked(fresh, first, is_text));
                }
                for (const std::string& text : {first.substr(0, place), first.substr(place),
                                                first.substr(0, place) + "7" + first.substr(place),
                                                first.substr(0, place) + "\"" + first.substr(place),
                                                first.substr(0, place) + first.substr(place + 1)}) {
                    CAPTURE(text);
                    record_picker_c fresh(fields);
                    REQUIRE(picked(warm, text, false) == picked(fresh, text, false));
                }
            }
        }
    }
}

TEST_CASE("layout: kinds of messages take turns") {
    const auto fields = schema();
    record_picker_c warm(fields);
    for (int round = 0; round < 300; ++round) {
        for (std::size_t i = 0; i < messages().size();
             i += 1 + static_cast<std::size_t>(round % 3)) {
            record_picker_c fresh(fields);
            REQUIRE(picked(warm, messages()[i], true) == picked(fresh, messages()[i], true));
        }
    }
}

TEST_CASE("layout: nothing is left of the message before in one that is too large") {
    const auto fields = schema();
    record_picker_c warm(fields);
    const std::string small = R"({"s":"x","p":"1","n":1})";
    const std::string large = R"({"z":")" + std::string(10'000, '.') + R"(","n":2})";
    for (int i = 0; i < 5; ++i) picked(warm, small, true);
    record_picker_c fresh(fields);
    CHECK(picked(warm, large, true) == picked(fresh, large, true));
    CHECK(picked(warm, small, true) == picked(fresh, small, true));
}

TEST_CASE("layout: values of every length are found, up to the end of the text") {
    const auto fields = schema();
    record_picker_c warm(fields);
    for (std::size_t length = 0; length < 200; ++length) {
        for (const std::string& text :
             {R"({"s":")" + std::string(length, '.') + R"(","p":1})",
              R"({"p":1,"s":")" + std::string(length, '\x7F') + R"("})",
              R"({"s":1,"n":)" + std::string(length, '7') + R"(})",
              R"({"s":"1","p":"0.)" + std::string(length, '3') + R"("})"}) {
            CAPTURE(text);
            for (int i = 0; i < 3; ++i) {
                record_picker_c fresh(fields);
                REQUIRE(picked(warm, text, true) == picked(fresh, text, true));
            }
        }
    }
}

TEST_CASE("layout: arrays of every length, also where their elements are wanted") {
    auto sets = sets_into_arrays();
    sets.push_back(schema());
    for (const auto& set : sets) {
        record_picker_c warm(set);
        std::string levels;
        for (std::size_t length = 0; length < 150; ++length) {
            const std::string number = std::to_string(length);
            const std::string text = R"({"n":)" + number + R"(,"b":[)" + levels + R"(],"z":7})";
            CAPTURE(text);
            for (const std::string& one : {text, text.substr(0, text.size() - 1), text + "]",
                                           R"({"n":1,"b":null,"z":8})" + std::string()}) {
                record_picker_c fresh(set);
                REQUIRE(picked(warm, one, true) == picked(fresh, one, true));
            }
            levels += (length == 0 ? R"([")" : R"(,[")") + std::string(length % 9, '4') + number +
                      R"(","0.)" + number + R"("])";
        }
    }
}

TEST_CASE("layout: documents that are too deep are none, whatever was learned") {
    const auto fields = schema();
    for (const std::size_t objects : {1, 49, 50, 51, 52, 990}) {
        record_picker_c warm(fields);
        for (const std::size_t arrays : {1, 1, 1, 1, 30, 100, 898, 899, 900, 901, 970, 980, 1022}) {
            std::string text;
            for (std::size_t i = 0; i < objects; ++i) text += "{\"\":";
            text += std::string(arrays, '[') + std::string(arrays, ']');
            text += std::string(objects, '}');
            CAPTURE(objects);
            CAPTURE(arrays);
            record_picker_c fresh(fields);
            REQUIRE(picked(warm, text, true) == picked(fresh, text, true));
        }
    }
}

TEST_CASE("layout: messages of all kinds, among them those that are like others for a while") {
    auto sets = sets_into_arrays();
    sets.push_back(schema());
    std::mt19937 random(20261126);
    for (const auto& set : sets) {
        for (int round = 0; round < 40; ++round) {
            // A few kinds, again and again and in turns; now and then there are new ones.
            record_picker_c warm(set);
            strings kinds;
            for (int i = 0; i < 400; ++i) {
                if (kinds.size() < 12 || random() % 20 == 0)
                    kinds.push_back(R"({"s":)" + make_value(random, 2) + R"(,"n":)" +
                                    make_value(random, 2) + R"(,"b":)" + make_value(random, 3) +
                                    (random() % 4 == 0 ? R"(,"s":2})" : "}"));
                std::string text = kinds[random() % kinds.size()];
                if (random() % 4 == 0)
                    text[random() % text.size()] = spoiling[random() % (spoiling.size() - 1)];
                CAPTURE(text);
                record_picker_c fresh(set);
                REQUIRE(picked(warm, text, true) == picked(fresh, text, true));
            }
        }
    }
}

TEST_CASE("layout: more kinds than are remembered") {
    const auto fields = schema();
    record_picker_c warm(fields);
    for (int round = 0; round < 3; ++round) {
        for (int kind = 0; kind < 1500; ++kind) {
            const std::string name =
                "a name longer than a vector " + std::to_string(kind % (kind / 2 + 1));
            const std::string text = R"({"s":"x","p":1.5,")" + name + R"(":7,"n":)" +
                                     std::to_string(kind) + R"(,"q":"2"})";
            record_picker_c fresh(fields);
            for (int i = 0; i < 2; ++i)
                REQUIRE(picked(warm, text, true) == picked(fresh, text, true));
        }
    }
}

TEST_CASE("layout: an array, and what only begins like one") {
    const auto fields = schema();
    const strings kinds{R"({"y":[1, 2]})", R"({"y":[1,2]})", R"({"y":[{"x":1}]})",
                        R"({"y":[{"x":[]}]})", R"({"y":[]})"};
    for (std::size_t pair = 0; pair < kinds.size() * kinds.size(); ++pair) {
        record_picker_c warm(fields);
        for (int i = 0; i < 4; ++i) picked(warm, kinds[pair / kinds.size()], true);
        for (int i = 0; i < 9; ++i) picked(warm, kinds[pair % kinds.size()], true);
        for (const std::string begin :
             {"[", "[1", "[1,2", "[{\"x\":1", "[{\"x\":[", "[{\"x\":[]", "1"}) {
            for (const std::string end :
                 {"", "]", "}", "]}", "}]", "}]}", "]}]}", ",3]}", ", 3]}"}) {
                const std::string text = R"({"y":)" + begin + end;
                CAPTURE(text);
                record_picker_c fresh(fields);
                REQUIRE(picked(warm, text, true) == picked(fresh, text, true));
            }
        }
    }
}
