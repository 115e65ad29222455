#include "wspool/record_picker.hpp"

#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "json/column.hpp"
#include "json/field_set.hpp"
#include "json/picker.hpp"

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
          places_(set_->Compiled().compiled[number].places),
          rows_of_(set_->Compiled().compiled[number].rows),
          mistakes_(places_.size()) {
        for (const column_t& one : set_->Fields()[number].columns) {
            columns_.push_back(json::column::make(one.type));
            const auto kind = one.type.kind;
            has_size_.push_back(kind == column_kind_e::STRING || kind == column_kind_e::JSON ||
                                kind == column_kind_e::LIST || kind == column_kind_e::CATEGORY);
        }
    }

    void append(const json::picker& picked, const message_view_t& message, std::uint32_t connection,
                json::context& with) {
        if (rows_of_ == plan::none) {
            most_bytes_ = static_cast<std::size_t>(-1);
            append_row(picked, nullptr, message, connection, with);
            return;
        }
        most_bytes_ = bytes_ + most_of_a_message;
        const std::size_t count = picked.row_count(rows_of_);
        for (std::size_t row = 0; row < count; ++row)
            append_row(picked, picked.row(rows_of_, row), message, connection, with);
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
        for (const auto& one : columns_) batch->columns.push_back(one->finish());
        batch->columns.push_back(finish_received());
        batch->columns.push_back(finish_connections(labels));
        batch->mistakes = std::exchange(mistakes_, std::vector<mistakes_t>(columns_.size()));
        rows_ = bytes_ = all_mistakes_ = 0;
        return batch;
    }

private:
    using mistakes_t = record_batch_t::mistakes_t;

    void append_row(const json::picker& picked, const slice* row, const message_view_t& message,
                    std::uint32_t connection, json::context& with) {
        static const slice missing;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const auto& place = places_[i];
            const slice* value = &missing;
            if (place.in_row != plan::none) value = row + place.in_row;
            if (value->is_missing() && place.in_message != plan::none)
                value = &picked.value(place.in_message);
            unsigned mistakes = 0;
            if (has_size_[i] && bytes_ + value->size > most_bytes_) {
                value = &missing;
                mistakes = 1;
            }
            mistakes += columns_[i]->append(*value, with);
            if (has_size_[i]) bytes_ += value->size;
            if (mistakes != 0) note(i, mistakes, message);
        }
        constexpr auto no_time = std::numeric_limits<std::int64_t>::min();
        const bool is_timed = message.received_ns != 0;
        const std::int64_t received = is_timed ? message.received_ns : no_time;
        std::memcpy(received_.Extend(sizeof received), &received, sizeof received);
        received_validity_.push(is_timed);
        const bool is_known = connection != record_picker_c::no_connection;
        const std::uint32_t label = is_known ? connection : 0;
        std::memcpy(connections_.Extend(sizeof label), &label, sizeof label);
        connections_validity_.push(is_known);
        ++rows_;
    }

    void note(std::size_t column, unsigned count, const message_view_t& message) {
        mistakes_t& of = mistakes_[column];
        if (of.count == 0) of.first = message.payload.substr(0, longest_kept_message);
        of.count += count;
        all_mistakes_ += count;
    }

    std::shared_ptr<const column_data_t> finish_received() {
        auto made = std::make_shared<column_data_t>();
        made->type.kind = column_kind_e::TIMESTAMP;
        made->values = std::exchange(received_, byte_store_c());
        received_.Reserve(made->values.Size());
        received_validity_.finish(*made);
        return made;
    }

    std::shared_ptr<const column_data_t> finish_connections(
        const std::shared_ptr<const column_data_t>& labels) {
        auto made = std::make_shared<column_data_t>();
        made->type.kind = column_kind_e::CATEGORY;
        made->values = std::exchange(connections_, byte_store_c());
        connections_.Reserve(made->values.Size());
        connections_validity_.finish(*made);
        made->dictionary = labels;
        return made;
    }

    const std::shared_ptr<const field_set_c> set_;
    const std::size_t number_;
    const std::vector<field_set_c::impl::place_t>& places_;
    const int rows_of_;
    std::vector<std::unique_ptr<json::column>> columns_;
    std::vector<bool> has_size_;
    byte_store_c received_;
    json::validity received_validity_;
    byte_store_c connections_;
    json::validity connections_validity_;
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
        for (std::size_t i = 0; i < set->Fields().size(); ++i) gatherers.emplace_back(set, i);
    }

    const std::shared_ptr<const field_set_c> set;
    json::picker picker;
    std::vector<gatherer> gatherers;
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
    json::context with{impl_->picker.source(), impl_->scratch};
    bool matched = false;
    for (std::size_t i = 0; i < impl_->gatherers.size(); ++i) {
        if (!compiled.matches(compiled.compiled[i], impl_->picker, impl_->scratch)) continue;
        matched = true;
        impl_->gatherers[i].append(impl_->picker, message, connection, with);
    }
    return matched ? outcome_e::MATCHED : outcome_e::UNMATCHED;
}

std::size_t record_picker_c::Rows(std::size_t number) const noexcept {
    return impl_->gatherers[number].rows();
}

std::size_t record_picker_c::Bytes(std::size_t number) const noexcept {
    return impl_->gatherers[number].bytes();
}

std::size_t record_picker_c::Mistakes(std::size_t number) const noexcept {
    return impl_->gatherers[number].mistakes();
}

std::shared_ptr<const record_batch_t> record_picker_c::Finish(std::size_t number) {
    return impl_->gatherers[number].finish(impl_->labels.snapshot());
}

}  // namespace wspool
