#include "json/column.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "json/number.hpp"
#include "json/plain_number.hpp"
#include "json/timestamp.hpp"

namespace wspool::json {
namespace {

void push_bit(byte_store_c& bits, std::size_t place, bool value) {
    if (place % 8 == 0) *bits.Extend(1) = 0;
    if (value) bits.Data()[place / 8] |= static_cast<char>(1U << (place % 8));
}

/// A number as text: as it stands, or what a string holds. Empty for anything else.
inline std::string_view text_of(const slice& value, context& with) {
    if (!value.is_string()) return value.text();
    const std::string_view inside = value.inside();
    if (!with.has_backslash || inside.find('\\') == std::string_view::npos) return inside;
    return unescape(inside, with.scratch) ? std::string_view(with.scratch) : std::string_view();
}

struct int64_parser {
    using value_t = std::int64_t;
    static constexpr value_t null = 0;
    bool operator()(std::string_view text, value_t& out) const { return parse_int64(text, out); }
    static bool take(const plain_number& from, value_t& out) {
        out = static_cast<value_t>(from.digits);
        return !from.has_point;
    }
};

struct uint64_parser {
    using value_t = std::uint64_t;
    static constexpr value_t null = 0;
    bool operator()(std::string_view text, value_t& out) const { return parse_uint64(text, out); }
    static bool take(const plain_number& from, value_t& out) {
        out = from.digits;
        return !from.has_point;
    }
};

struct double_parser {
    using value_t = double;
    static constexpr value_t null = std::numeric_limits<double>::quiet_NaN();
    bool operator()(std::string_view text, value_t& out) const { return parse_double(text, out); }
    static bool take(const plain_number& from, value_t& out) {
        return divide(from.digits, from.decimals, out);
    }
};

struct timestamp_parser {
    using value_t = std::int64_t;
    static constexpr value_t null = std::numeric_limits<value_t>::min();  // NumPy's NaT
    time_unit_e unit;
    bool operator()(std::string_view text, value_t& out) const {
        // The least integer stands for null.
        return parse_timestamp(text, unit, out) && out != null;
    }
    static bool take(const plain_number& from, value_t& out) {
        return int64_parser::take(from, out);
    }
};

struct decimal_parser {
    using value_t = int128;
    static constexpr value_t null = 0;
    std::uint8_t precision;
    std::uint8_t decimals;
    bool operator()(std::string_view text, value_t& out) const {
        decimal_t number;
        return parse_decimal(text, number) && scale(number, decimals, precision, out);
    }
    static bool take(const plain_number& /*from*/, value_t& /*out*/) { return false; }
};

/// True if `text` stands in a message so far behind its beginning that a plain number can be read.
inline bool has_room(std::string_view text, const context& with) {
    constexpr auto room = static_cast<std::ptrdiff_t>(plain_number::longest);
    return !with.has_backslash && text.data() + text.size() - with.source.text().data() >= room;
}

template <class Parser>
class number_column final : public column {
public:
    explicit number_column(const column_type_t& type, Parser parser = {})
        : column(type), parser_(parser) {}

    unsigned append(const slice& value, context& with) override {
        typename Parser::value_t number = Parser::null;
        bool is_valid = false;
        unsigned mistakes = 0;
        if (!value.is_null()) {
            const std::string_view text = text_of(value, with);
            plain_number plain;
            is_valid = reads_plain_ && has_room(text, with) &&
                       plain.read(text.data() + text.size(), text.size()) &&
                       Parser::take(plain, number);
            if (!is_valid) is_valid = parser_(text, number);
            if (!is_valid) {
                number = Parser::null;
                mistakes = 1;
            }
        }
        validity_.push(is_valid);
        std::memcpy(values_.Extend(sizeof number), &number, sizeof number);
        return mistakes;
    }

private:
    void finish(column_data_t& out) override {
        const std::size_t size = values_.Size();
        out.values = std::move(values_);
        values_.Reserve(size);
    }

    const Parser parser_;
    const bool reads_plain_ = plain_number::can_read() && !std::is_same_v<Parser, decimal_parser>;
    byte_store_c values_;
};

/// Only strings are ISO 8601 text.
class iso_column final : public column {
public:
    explicit iso_column(const column_type_t& type) : column(type) {}

    unsigned append(const slice& value, context& with) override {
        constexpr auto null = timestamp_parser::null;
        std::int64_t ns = null;
        const bool is_valid =
            value.is_string() && parse_iso_time(text_of(value, with), ns) && ns != null;
        if (!is_valid) ns = null;
        validity_.push(is_valid);
        std::memcpy(values_.Extend(sizeof ns), &ns, sizeof ns);
        return is_valid || value.is_null() ? 0 : 1;
    }

private:
    void finish(column_data_t& out) override { out.values = std::move(values_); }

    byte_store_c values_;
};

class bool_column final : public column {
public:
    explicit bool_column(const column_type_t& type) : column(type) {}

    unsigned append(const slice& value, context& with) override {
        std::optional<bool> truth;
        if (!value.is_null()) truth = parse(text_of(value, with));
        push_bit(bits_, validity_.length(), truth.value_or(false));
        validity_.push(truth.has_value());
        return truth || value.is_null() ? 0 : 1;
    }

private:
    static std::optional<bool> parse(std::string_view text) {
        if (text == "true" || text == "1") return true;
        if (text == "false" || text == "0") return false;
        return {};
    }
    void finish(column_data_t& out) override { out.values = std::move(bits_); }

    byte_store_c bits_;
};

/// A string without its escapes; empty if UTF-8 cannot express it.
inline std::optional<std::string_view> unescaped(const slice& value, context& with) {
    const std::string_view inside = value.inside();
    if (!with.has_backslash || inside.find('\\') == std::string_view::npos) return inside;
    if (!unescape(inside, with.scratch)) return {};
    return std::string_view(with.scratch);
}

class text_column final : public column {
public:
    explicit text_column(const column_type_t& type)
        : column(type), is_raw_(type.kind == column_kind_e::JSON) {}

    unsigned append(const slice& value, context& with) override {
        std::optional<std::string_view> text;
        if (is_raw_ && !value.is_null())
            text = value.text();
        else if (value.is_string())
            text = unescaped(value, with);
        texts_.push(text.value_or(std::string_view()));
        validity_.push(text.has_value());
        return text || value.is_null() ? 0 : 1;
    }

private:
    void finish(column_data_t& out) override { texts_.finish(out); }

    const bool is_raw_;
    text_store texts_;
};

class category_column final : public column {
public:
    explicit category_column(const column_type_t& type) : column(type) {}

    unsigned append(const slice& value, context& with) override {
        std::optional<std::string_view> text;
        if (value.is_string()) text = unescaped(value, with);
        const std::uint32_t number = text ? texts_.number_of(*text) : 0;
        std::memcpy(values_.Extend(sizeof number), &number, sizeof number);
        validity_.push(text.has_value());
        return text || value.is_null() ? 0 : 1;
    }

private:
    void finish(column_data_t& out) override {
        out.values = std::move(values_);
        out.dictionary = texts_.snapshot();
        texts_.bound();
    }

    byte_store_c values_;
    dictionary texts_;
};

class list_column final : public column {
public:
    explicit list_column(const column_type_t& type)
        : column(type), items_(column::make(*type.item)) {
        begin();
    }

    unsigned append(const slice& value, context& with) override {
        unsigned mistakes = value.is_null() || value.is_array() ? 0 : 1;
        if (value.is_array()) mistakes = append_items(value, with);
        validity_.push(value.is_array());
        std::memcpy(offsets_.Extend(sizeof count_), &count_, sizeof count_);
        return mistakes;
    }

private:
    void begin() {
        count_ = 0;
        std::memcpy(offsets_.Extend(sizeof count_), &count_, sizeof count_);
    }

    /// The whole text has been checked.
    unsigned append_items(const slice& value, context& with) {
        const char* const text = with.source.text().data();
        auto at = static_cast<std::size_t>(value.data - text) + 1;
        unsigned mistakes = 0;
        at = token_at(text, at);
        if (text[at] == ']') return 0;
        while (true) {
            const std::size_t end = end_of(with, at);
            mistakes += items_->append({text + at, static_cast<std::uint32_t>(end - at)}, with);
            ++count_;
            at = token_at(text, end);
            if (text[at] == ']') return mistakes;
            at = token_at(text, at + 1);
        }
    }

    static std::size_t token_at(const char* text, std::size_t at) {
        while (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') ++at;
        return at;
    }

    /// The quote at the end of the string that begins here.
    static std::size_t string_end(const context& with, std::size_t at) {
        if (with.has_backslash) return with.source.string_end(at);
        const std::string_view text = with.source.text();
        return text.find('"', at + 1);
    }

    /// Where the value that begins here ends.
    static std::size_t end_of(const context& with, std::size_t at) {
        const std::string_view text = with.source.text();
        if (text[at] == '"') return string_end(with, at) + 1;
        if (text[at] != '[' && text[at] != '{')
            return static_cast<std::size_t>(
                scalar_end(text.data() + at, text.data() + text.size()) - text.data());
        for (std::size_t open = 0;; ++at) {
            const char c = text[at];
            if (c == '"') at = string_end(with, at);
            if (c == '[' || c == '{') ++open;
            if ((c == ']' || c == '}') && --open == 0) return at + 1;
        }
    }

    void finish(column_data_t& out) override {
        out.offsets = std::move(offsets_);
        out.items = items_->finish();
        begin();
    }

    byte_store_c offsets_;
    std::int32_t count_ = 0;
    std::unique_ptr<column> items_;

    using column::finish;
};

}  // namespace

void validity::push_bit(bool is_valid) {
    if (nulls_ == 0) {
        for (std::size_t i = 0; i < length_; ++i) json::push_bit(bits_, i, true);
    }
    json::push_bit(bits_, length_++, is_valid);
    if (!is_valid) ++nulls_;
}

void validity::finish(column_data_t& out) {
    out.length = std::exchange(length_, 0);
    out.null_count = std::exchange(nulls_, 0);
    out.validity = std::move(bits_);
}

std::shared_ptr<const column_data_t> column::finish() {
    auto made = std::make_shared<column_data_t>();
    made->type = type_;
    finish(*made);
    validity_.finish(*made);
    return made;
}

std::unique_ptr<column> column::make(const column_type_t& type) {
    switch (type.kind) {
        case column_kind_e::INT64:
            return std::make_unique<number_column<int64_parser>>(type);
        case column_kind_e::UINT64:
            return std::make_unique<number_column<uint64_parser>>(type);
        case column_kind_e::FLOAT64:
            return std::make_unique<number_column<double_parser>>(type);
        case column_kind_e::BOOL:
            return std::make_unique<bool_column>(type);
        case column_kind_e::STRING:
        case column_kind_e::JSON:
            return std::make_unique<text_column>(type);
        case column_kind_e::CATEGORY:
            return std::make_unique<category_column>(type);
        case column_kind_e::DECIMAL128:
            return std::make_unique<number_column<decimal_parser>>(
                type, decimal_parser{type.precision, type.scale});
        case column_kind_e::TIMESTAMP:
            if (type.is_iso) return std::make_unique<iso_column>(type);
            return std::make_unique<number_column<timestamp_parser>>(type,
                                                                     timestamp_parser{type.unit});
        case column_kind_e::LIST:
            return std::make_unique<list_column>(type);
    }
    return nullptr;
}

}  // namespace wspool::json
