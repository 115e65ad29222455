/// Picks fields out of whatever bytes come, and compares with a slow reader: is it JSON, how many
/// rows are there, and what are the texts, numbers and raw values. The first byte chooses a schema.
///
/// The text lies in memory of exactly its size, so that a sanitizer sees every byte too far.

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_target.hpp"
#include "reference_json.hpp"
#include "wspool/record_picker.hpp"

namespace wspool::fuzz {
namespace {

struct schema {
    std::vector<std::pair<std::string, std::string>> columns;  // pointer, type
    std::string rows;                                          // with has_rows
    bool has_rows = false;
};

/// Pointers are of the message without rows, of the element ("./") or the message ("#/") with.
const std::vector<schema>& schemas() {
    static const std::vector<schema> all = {
        {{{"", "json"}, {"/a", "json"}, {"/a", "string"}, {"/a/b", "int64"}}, "", false},
        {{{"/data/s", "category"},
          {"/data/p", "float64"},
          {"/data/T", "timestamp[ms]"},
          {"/data/m", "bool"},
          {"/data/q", "decimal128(20,8)"}},
         "",
         false},
        {{{"./0", "string"}, {"./1", "json"}, {".", "json"}, {"#/s", "string"}}, "/b", true},
        {{{"./p", "int64"}, {"./a/b", "json"}, {"#/1/x", "json"}}, "", true},
        {{{"/0", "int64"}, {"/1/a", "list<list<float64>>"}, {"/3", "category"}, {"/1", "json"}},
         "",
         false},
        {{{"/price", "string"},
          {"/a long name of 20 by", "json"},
          {"/", "json"},
          {"/a~1b", "json"},
          {"/sequence", "uint64"},
          {"/time", "timestamp[iso]"},
          {"/l", "list<string>"}},
         "",
         false},
    };
    return all;
}

std::shared_ptr<const field_set_c> compile(const schema& from) {
    fields_t fields;
    for (const auto& [pointer, type] : from.columns)
        fields.columns.push_back(
            {"c" + std::to_string(fields.columns.size()), pointer, *column_type_t::Parse(type)});
    if (from.has_rows) fields.rows = from.rows;
    error_ptr error;
    auto compiled = field_set_c::Compile({fields}, error);
    if (error) {
        std::fprintf(stderr, "%s\n", error->Error_msg().c_str());
        std::abort();
    }
    return compiled;
}

[[noreturn]] void disagree(const char* what, std::string_view text) {
    std::fprintf(stderr, "disagreement: %s\n%.*s\n", what, static_cast<int>(text.size()),
                 text.data());
    std::abort();
}

const value* look_up(const value* from, std::string_view pointer) {
    while (from != nullptr && !pointer.empty()) {
        pointer.remove_prefix(1);
        const auto end = std::min(pointer.find('/'), pointer.size());
        std::string name(pointer.substr(0, end));
        for (const auto& [escaped, plain] : {std::pair("~1", "/"), std::pair("~0", "~")}) {
            for (auto at = name.find(escaped); at != std::string::npos;
                 at = name.find(escaped, at + 1))
                name.replace(at, 2, plain);
        }
        from = from->find(name);
        pointer.remove_prefix(end);
    }
    return from;
}

std::string text_at(const column_data_t& column, std::size_t row) {
    std::int32_t range[2];
    std::memcpy(range, column.offsets.Data() + row * 4, sizeof range);
    return {column.values.Data() + range[0], static_cast<std::size_t>(range[1] - range[0])};
}

std::int64_t number_at(const column_data_t& column, std::size_t row) {
    std::int64_t number = 0;
    std::memcpy(&number, column.values.Data() + row * 8, sizeof number);
    return number;
}

/// An integer as it is written, or what a string holds; false if it does not fit.
bool integer_of(const value& from, std::int64_t& out) {
    if (from.kind == value::kind_e::WORD) return false;
    if (from.kind == value::kind_e::STRING && !from.is_text_whole) return false;
    const std::string text = from.kind == value::kind_e::STRING ? from.text : from.raw;
    std::string digits = text;
    if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.erase(0, 1);
    if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) return false;
    errno = 0;
    out = std::strtoll(text.c_str(), nullptr, 10);
    return errno == 0;
}

void compare(const column_data_t& column, std::size_t row, const value* expected,
             std::string_view text) {
    const bool is_null = expected == nullptr || expected->raw == "null";
    if (is_null) {
        if (!column.Is_null(row)) disagree("a null has a value", text);
        return;
    }
    const bool is_string = expected->kind == value::kind_e::STRING;
    switch (column.type.kind) {
        case column_kind_e::JSON:
            if (column.Is_null(row) || text_at(column, row) != expected->raw)
                disagree("raw text", text);
            break;
        case column_kind_e::STRING:
            if (column.Is_null(row) != !(is_string && expected->is_text_whole))
                disagree("is it a string", text);
            if (!column.Is_null(row) && text_at(column, row) != expected->text)
                disagree("the string", text);
            break;
        case column_kind_e::CATEGORY: {
            if (column.Is_null(row) != !(is_string && expected->is_text_whole))
                disagree("is it a category", text);
            std::uint32_t number = 0;
            std::memcpy(&number, column.values.Data() + row * 4, sizeof number);
            if (!column.Is_null(row) && text_at(*column.dictionary, number) != expected->text)
                disagree("the category", text);
            break;
        }
        case column_kind_e::INT64: {
            std::int64_t number = 0;
            const bool is_integer = expected->kind != value::kind_e::OBJECT &&
                                    expected->kind != value::kind_e::ARRAY &&
                                    integer_of(*expected, number);
            if (column.Is_null(row) == is_integer) disagree("is it an integer", text);
            if (is_integer && number_at(column, row) != number) disagree("the integer", text);
            break;
        }
        case column_kind_e::LIST: {
            if (column.Is_null(row) != (expected->kind != value::kind_e::ARRAY))
                disagree("is it a list", text);
            std::int32_t range[2];
            std::memcpy(range, column.offsets.Data() + row * 4, sizeof range);
            if (!column.Is_null(row) &&
                static_cast<std::size_t>(range[1] - range[0]) != expected->elements.size())
                disagree("length of a list", text);
            break;
        }
        default:
            break;  // no crash is all that is asked
    }
}

void check_pick(record_picker_c& picker, const schema& from, std::string_view text, bool is_text) {
    const std::optional<value> document = parse(text);
    message_view_t message;
    message.payload = text;
    message.is_text = is_text;
    message.received_ns = 1;
    const auto outcome = picker.Pick(message);
    const bool is_json = outcome != record_picker_c::outcome_e::NOT_JSON;
    if (is_json != document.has_value()) disagree("is it JSON", text);
    if (!is_json) return;
    const value* rows = from.has_rows ? look_up(&*document, from.rows) : nullptr;
    const bool has_rows = rows != nullptr && rows->kind == value::kind_e::ARRAY;
    const bool matches = !from.has_rows || has_rows;
    if ((outcome == record_picker_c::outcome_e::MATCHED) != matches)
        disagree("does it match", text);
    const std::size_t count = !matches ? 0 : from.has_rows ? rows->elements.size() : 1;
    const auto batch = picker.Finish(0);
    if (batch->rows != count) disagree("number of rows", text);
    for (std::size_t row = 0; row < count; ++row) {
        for (std::size_t i = 0; i < from.columns.size(); ++i) {
            const std::string& pointer = from.columns[i].first;
            const value* found = nullptr;
            if (!from.has_rows)
                found = look_up(&*document, pointer);
            else if (pointer[0] == '#')
                found = look_up(&*document, pointer.substr(1));
            else
                found = look_up(&rows->elements[row], pointer.substr(1));
            compare(*batch->columns[i], row, found, text);
        }
    }
}

}  // namespace

const std::string_view spoiling = "[]{},:\"\\ 0123456789.eE-+tfnNaI\t\n\x01\xC3\xA9";

namespace {

/// A copy in memory of exactly its size.
struct exact_text {
    explicit exact_text(std::string_view text) : bytes(new char[text.size()]), size(text.size()) {
        if (size != 0) std::memcpy(bytes.get(), text.data(), size);
    }
    [[nodiscard]] std::string_view view() const { return {bytes.get(), size}; }

    std::unique_ptr<char[]> bytes;
    std::size_t size;
};

void check_text(record_picker_c& picker, const schema& from, std::string_view text) {
    const exact_text exact(text);
    check_pick(picker, from, exact.view(), false);
    // Whoever says that it is UTF-8 has checked; and a second time keys are known already.
    if (parse(text)) check_pick(picker, from, exact.view(), true);
}

/// Texts that are laid out nearly as this one, to a picker that has learned how that is. Which
/// bytes are changed follows from the text, so that an input does the same each time.
void check_variants(const std::shared_ptr<const field_set_c>& fields, const schema& from,
                    std::string_view text) {
    record_picker_c picker(fields);
    for (int i = 0; i < 3; ++i) check_text(picker, from, text);
    std::uint64_t random = 0x9E3779B97F4A7C15U;
    for (const char c : text) random = (random ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    for (int i = 0; i < 6; ++i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        const std::size_t place = (random >> 33U) % text.size();
        const char other = spoiling[(random >> 17U) % spoiling.size()];
        std::string variant(text);
        if (i % 3 == 0)
            variant[place] = other;
        else if (i % 3 == 1)
            variant.insert(place, 1, other);
        else
            variant.erase(place, 1);
        check_text(picker, from, variant);
        check_text(picker, from, text);
    }
}

}  // namespace

void check(const std::uint8_t* data, std::size_t size) {
    struct known {
        std::shared_ptr<const field_set_c> fields;
        std::unique_ptr<record_picker_c> picker;  // kept, as it is from message to message
    };
    static std::vector<known> all;
    if (all.empty()) {
        for (const schema& one : schemas()) {
            auto fields = compile(one);
            all.push_back({fields, std::make_unique<record_picker_c>(fields)});
        }
    }
    if (size == 0) return;
    const std::size_t which = data[0] % schemas().size();
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    check_text(*all[which].picker, schemas()[which], text);
    if (parse(text)) check_variants(all[which].fields, schemas()[which], text);
}

}  // namespace wspool::fuzz
