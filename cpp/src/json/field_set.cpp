#include "json/field_set.hpp"

#include <algorithm>
#include <charconv>

#include "json/number.hpp"

namespace wspool {
namespace {

using json::plan;
using json::slice;
using steps_t = plan::steps_t;

error_ptr invalid(std::string message) {
    return std::make_unique<error_c>(error_e::INVALID_ARGUMENT, std::move(message));
}

bool take(std::string_view& text, std::string_view begin) {
    if (text.substr(0, begin.size()) != begin) return false;
    text.remove_prefix(begin.size());
    return true;
}

void trim(std::string_view& text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
}

std::optional<std::uint8_t> small_number(std::string_view text) {
    trim(text);
    std::uint8_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return {};
    return value;
}

std::optional<column_type_t> parse_decimal_type(std::string_view text) {
    if (text.empty() || text.back() != ')') return {};
    text.remove_suffix(1);
    const auto comma = text.find(',');
    const auto precision = small_number(text.substr(0, comma));
    const auto scale = comma == std::string_view::npos ? std::optional<std::uint8_t>(0)
                                                       : small_number(text.substr(comma + 1));
    constexpr unsigned most = 38;
    if (!precision || !scale || *precision < 1 || *precision > most || *scale > *precision)
        return {};
    column_type_t type;
    type.kind = column_kind_e::DECIMAL128;
    type.precision = *precision;
    type.scale = *scale;
    return type;
}

std::optional<column_type_t> parse_timestamp_type(std::string_view unit) {
    column_type_t type;
    type.kind = column_kind_e::TIMESTAMP;
    if (unit == "s]")
        type.unit = time_unit_e::SECONDS;
    else if (unit == "ms]")
        type.unit = time_unit_e::MILLISECONDS;
    else if (unit == "us]")
        type.unit = time_unit_e::MICROSECONDS;
    else if (unit == "iso]")
        type.is_iso = true;
    else if (unit != "ns]")
        return {};
    return type;
}

/// A pointer as fields write it: where it is looked up, and the steps from there.
struct resolved_t {
    std::optional<steps_t> in_row;
    std::optional<steps_t> in_message;
};

std::optional<steps_t> steps_of(std::string_view text) {
    const auto pointer = json_pointer_c::Parse(text);
    if (!pointer) return {};
    return pointer->Steps();
}

/// "../x": up from the array, then down again. `rows` are the steps to the array.
std::optional<resolved_t> resolve_upward(std::string_view text, steps_t base) {
    while (true) {
        if (base.empty()) return {};
        base.pop_back();
        if (text == "..") {
            text = {};
            break;
        }
        take(text, "../");
        if (text != ".." && text.substr(0, 3) != "../") break;
    }
    if (!text.empty()) {
        const auto rest = steps_of("/" + std::string(text));
        if (!rest) return {};
        base.insert(base.end(), rest->begin(), rest->end());
    }
    return resolved_t{{}, std::move(base)};
}

/// Empty if it is not one of the forms.
std::optional<resolved_t> resolve(std::string_view text, const std::optional<steps_t>& rows) {
    resolved_t result;
    if (take(text, "#")) {
        result.in_message = steps_of(text);
    } else if (!rows) {
        result.in_message = steps_of(text);
    } else if (text == ".." || text.substr(0, 3) == "../") {
        return resolve_upward(text, *rows);
    } else if (text.empty() || text == ".") {
        result.in_row = steps_t();
    } else if (text.front() == '/') {
        result.in_row = result.in_message = steps_of(text);
    } else {
        take(text, "./");
        result.in_row = steps_of("/" + std::string(text));
    }
    if (!result.in_row && !result.in_message) return {};
    return result;
}

struct equals_t {
    const slice& value;
    std::string& scratch;

    bool operator()(std::monostate /*null*/) const { return *value.data == 'n'; }
    bool operator()(bool wanted) const { return *value.data == (wanted ? 't' : 'f'); }
    bool operator()(const std::string& wanted) const {
        if (!value.is_string()) return false;
        const std::string_view inside = value.inside();
        if (inside.find('\\') == std::string_view::npos) return inside == wanted;
        return json::unescape(inside, scratch) && scratch == wanted;
    }
    bool operator()(std::int64_t wanted) const {
        std::int64_t whole = 0;
        if (!is_number()) return false;
        if (json::parse_int64(value.text(), whole)) return whole == wanted;
        return is_written_as_float() && (*this)(static_cast<double>(wanted));
    }
    bool operator()(std::uint64_t wanted) const {
        std::uint64_t whole = 0;
        if (!is_number()) return false;
        if (json::parse_uint64(value.text(), whole)) return whole == wanted;
        return is_written_as_float() && (*this)(static_cast<double>(wanted));
    }
    bool operator()(double wanted) const {
        double number = 0;
        return is_number() && json::parse_double(value.text(), number) && number == wanted;
    }
    [[nodiscard]] bool is_number() const {
        return *value.data == '-' || (*value.data >= '0' && *value.data <= '9');
    }
    [[nodiscard]] bool is_written_as_float() const {
        return value.text().find_first_of(".eE") != std::string_view::npos;
    }
};

}  // namespace

std::optional<column_type_t> column_type_t::Parse(std::string_view text) {
    trim(text);
    column_type_t type;
    if (text == "int64") {
        type.kind = column_kind_e::INT64;
    } else if (text == "uint64") {
        type.kind = column_kind_e::UINT64;
    } else if (text == "float64") {
        type.kind = column_kind_e::FLOAT64;
    } else if (text == "bool") {
        type.kind = column_kind_e::BOOL;
    } else if (text == "string") {
        type.kind = column_kind_e::STRING;
    } else if (text == "category") {
        type.kind = column_kind_e::CATEGORY;
    } else if (text == "json") {
        type.kind = column_kind_e::JSON;
    } else if (take(text, "decimal128(")) {
        return parse_decimal_type(text);
    } else if (take(text, "timestamp[")) {
        return parse_timestamp_type(text);
    } else if (take(text, "list<")) {
        constexpr std::size_t longest = 200;  // bounds the nesting
        if (text.empty() || text.back() != '>' || text.size() > longest) return {};
        text.remove_suffix(1);
        auto item = Parse(text);
        if (!item || item->kind == column_kind_e::CATEGORY) return {};
        type.kind = column_kind_e::LIST;
        type.item = std::make_shared<const column_type_t>(std::move(*item));
    } else {
        return {};
    }
    return type;
}

error_ptr field_set_c::impl::compile_one(const fields_t& one) {
    compiled_t made;
    std::optional<steps_t> rows;
    if (one.rows) {
        std::string_view text = *one.rows;
        take(text, "#");
        rows = steps_of(text);
        if (!rows) return invalid("rows: not a JSON Pointer (RFC 6901): '" + *one.rows + "'");
        made.rows = plan.add_rows(*rows);
    }
    if (one.columns.empty()) return invalid("columns: at least one");
    for (const column_t& column : one.columns) {
        const auto where = resolve(column.pointer, rows);
        if (!where) {
            const char* const hint = rows ? "" : "; a JSON Pointer (RFC 6901) begins with /";
            return invalid("column '" + column.name + "': not a pointer that can be followed: '" +
                           column.pointer + "'" + hint);
        }
        place_t place;
        if (where->in_row) place.in_row = plan.add_in_row(made.rows, *where->in_row);
        if (where->in_message) place.in_message = plan.add(*where->in_message);
        made.places.push_back(place);
    }
    for (const condition_t& condition : one.where) {
        std::string_view text = condition.pointer;
        take(text, "#");
        const auto steps = steps_of(text);
        if (!steps)
            return invalid("where: not a JSON Pointer (RFC 6901): '" + condition.pointer + "'");
        made.tests.push_back({plan.add(*steps), &condition.any_of});
    }
    compiled.push_back(std::move(made));
    return nullptr;
}

error_ptr field_set_c::impl::compile() {
    for (const fields_t& one : fields)
        if (auto error = compile_one(one)) return error;
    return nullptr;
}

bool field_set_c::impl::matches(const compiled_t& one, const json::picker& picked,
                                std::string& scratch) const {
    for (const test_t& test : one.tests) {
        const slice& value = picked.value(test.slot);
        if (value.is_missing()) return false;
        const auto equals = [&](const json_scalar_t& wanted) {
            return std::visit(equals_t{value, scratch}, wanted);
        };
        if (std::none_of(test.any_of->begin(), test.any_of->end(), equals)) return false;
    }
    return one.rows == plan::none || picked.has_rows(one.rows);
}

field_set_c::field_set_c(std::unique_ptr<const impl> compiled) : impl_(std::move(compiled)) {}

field_set_c::~field_set_c() = default;

std::shared_ptr<const field_set_c> field_set_c::Compile(std::vector<fields_t> fields,
                                                        error_ptr& error) {
    auto compiled = std::make_unique<impl>(std::move(fields));
    error = compiled->compile();
    if (error) return nullptr;
    return std::make_shared<const field_set_c>(std::move(compiled));
}

const std::vector<fields_t>& field_set_c::Fields() const noexcept { return impl_->fields; }

}  // namespace wspool
