#include "wspool/record_picker.hpp"

#include <string>
#include <utility>
#include <vector>

#include "json/column.hpp"
#include "json/field_set.hpp"
#include "json/picker.hpp"
#include "json/provenance.hpp"

namespace wspool {

using json::plan;
using json::slice;

void byte_store_c::grow(std::size_t least) {
    constexpr std::size_t smallest = 64;
    std::size_t capacity = capacity_ < smallest ? smallest : capacity_ * 2;
    if (capacity < least) capacity = least;
    auto* const data = static_cast<char*>(std::realloc(data_, capacity));
    if (data == nullptr) throw std::bad_alloc();
    data_ = data;
    capacity_ = capacity;
}

namespace {

constexpr std::size_t longest_kept_message = 64 * 1024;
/// What a value outside repeats in each of a message's rows: a hostile peer can make that much more
/// than the message. Beyond this, texts and lists are mistakes.
constexpr std::size_t most_of_a_message = std::size_t{256} << 20U;

/// The columns of one `fields_t`.
class gatherer {
public:
    gatherer(std::shared_ptr<const field_set_c> set, std::size_t number)
        : set_(std::move(set)),
          number_(number),
          rows_of_(set_->Compiled().compiled[number].rows),
          mistakes_(set_->Fields()[number].columns.size()) {
        const auto& places = set_->Compiled().compiled[number].places;
        const auto& columns = set_->Fields()[number].columns;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const auto kind = columns[i].type.kind;
            const bool has_size = kind == column_kind_e::STRING || kind == column_kind_e::JSON ||
                                  kind == column_kind_e::LIST || kind == column_kind_e::CATEGORY;
            columns_.push_back({json::column::make(columns[i].type), places[i], has_size});
        }
    }

    void append(const json::picker& picked, const message_view_t& message, std::uint32_t connection,
                json::context& with) {
        std::size_t count = 1;
        if (rows_of_ == plan::none) {
            append_row(picked, nullptr, message, with);
        } else {
            most_bytes_ = bytes_ + most_of_a_message;
            count = picked.row_count(rows_of_);
            for (std::size_t row = 0; row < count; ++row)
                append_row(picked, picked.row(rows_of_, row), message, with);
        }
        rows_ += count;
        provenance_.push(count, message.received_ns, connection);
    }

    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t mistakes() const noexcept { return all_mistakes_; }

    std::shared_ptr<const record_batch_t> finish(
        const std::shared_ptr<const column_data_t>& labels) {
        auto batch = std::make_shared<record_batch_t>();
        batch->fields = set_;
        batch->number = number_;
        batch->rows = rows_;
        for (const auto& one : columns_) batch->columns.push_back(one.values->finish());
        batch->columns.push_back(provenance_.received());
        batch->columns.push_back(provenance_.connections(labels));
        batch->mistakes = std::exchange(mistakes_, std::vector<mistakes_t>(columns_.size()));
        provenance_.clear();
        rows_ = bytes_ = all_mistakes_ = 0;
        return batch;
    }

private:
    using mistakes_t = record_batch_t::mistakes_t;
    struct source_t {
        std::unique_ptr<json::column> values;
        field_set_c::impl::place_t place;
        bool has_size;  // texts and lists, of which a value may be of any size
    };

    void append_row(const json::picker& picked, const slice* row, const message_view_t& message,
                    json::context& with) {
        for (source_t& one : columns_) {
            // Not copied: what was written in two parts a moment ago is slow to read in one.
            const slice* value = &none_;
            if (one.place.in_row != plan::none) value = row + one.place.in_row;
            if (value->is_missing() && one.place.in_message != plan::none)
                value = &picked.value(one.place.in_message);
            unsigned mistakes = 0;
            if (one.has_size) {
                if (row != nullptr && bytes_ + value->size > most_bytes_) {
                    value = &none_;
                    mistakes = 1;
                }
                bytes_ += value->size;
            }
            mistakes += one.values->append(*value, with);
            if (mistakes != 0)
                note(static_cast<std::size_t>(&one - columns_.data()), mistakes, message);
        }
    }

    void note(std::size_t column, unsigned count, const message_view_t& message) {
        mistakes_t& of = mistakes_[column];
        if (of.count == 0) of.first = message.payload.substr(0, longest_kept_message);
        of.count += count;
        all_mistakes_ += count;
    }

    const std::shared_ptr<const field_set_c> set_;
    const std::size_t number_;
    const int rows_of_;
    const slice none_;
    std::vector<source_t> columns_;
    json::provenance provenance_;
    std::vector<mistakes_t> mistakes_;
    std::size_t rows_ = 0;
    std::size_t bytes_ = 0;
    std::size_t most_bytes_ = 0;  // what bytes_ may come to with the present message
    std::size_t all_mistakes_ = 0;
};

}  // namespace

class record_picker_c::impl {
public:
    explicit impl(std::shared_ptr<const field_set_c> fields)
        : set(std::move(fields)), picker(set->Compiled().plan) {
        for (std::size_t i = 0; i < set->Fields().size(); ++i)
            gatherers.push_back(std::make_unique<gatherer>(set, i));
    }

    const std::shared_ptr<const field_set_c> set;
    json::picker picker;
    std::vector<std::unique_ptr<gatherer>> gatherers;
    json::dictionary labels;
    std::string scratch;
};

record_picker_c::record_picker_c(std::shared_ptr<const field_set_c> fields)
    : impl_(std::make_unique<impl>(std::move(fields))) {}

record_picker_c::~record_picker_c() = default;

std::uint32_t record_picker_c::Add_connection(std::string_view label) {
    return impl_->labels.number_of(label);
}

record_picker_c::outcome_e record_picker_c::Pick(const message_view_t& message,
                                                 std::uint32_t connection) {
    if (!impl_->picker.pick(message.payload, message.is_text)) return outcome_e::NOT_JSON;
    const auto& compiled = impl_->set->Compiled();
    json::context with{impl_->picker.source(), impl_->picker.source().has_backslash(),
                       impl_->scratch};
    bool matched = false;
    for (std::size_t i = 0; i < impl_->gatherers.size(); ++i) {
        const auto& one = compiled.compiled[i];
        const bool takes_all = one.tests.empty() && one.rows == plan::none;
        if (!takes_all && !compiled.matches(one, impl_->picker, impl_->scratch)) continue;
        matched = true;
        try {
            impl_->gatherers[i]->append(impl_->picker, message, connection, with);
        } catch (...) {
            // Half a row is left: columns of different lengths must not get out.
            impl_->gatherers[i] = std::make_unique<gatherer>(impl_->set, i);
            throw;
        }
    }
    return matched ? outcome_e::MATCHED : outcome_e::UNMATCHED;
}

std::size_t record_picker_c::Rows(std::size_t number) const noexcept {
    return impl_->gatherers[number]->rows();
}

std::size_t record_picker_c::Bytes(std::size_t number) const noexcept {
    return impl_->gatherers[number]->bytes();
}

std::size_t record_picker_c::Mistakes(std::size_t number) const noexcept {
    return impl_->gatherers[number]->mistakes();
}

std::shared_ptr<const record_batch_t> record_picker_c::Finish(std::size_t number) {
    return impl_->gatherers[number]->finish(impl_->labels.snapshot());
}

}  // namespace wspool
