#include "acknowledgements.hpp"

#include <string_view>
#include <utility>

namespace wspool::detail {

namespace {

std::shared_ptr<const field_set_c> compile(const acknowledgement_t& one, error_ptr& error) {
    fields_t fields;
    // Nothing is picked; a column is only there because there must be one.
    column_type_t type;
    type.kind = column_kind_e::JSON;
    fields.columns.push_back({"_", one.where.front().pointer, std::move(type)});
    fields.where = one.where;
    return field_set_c::Compile({std::move(fields)}, error);
}

}  // namespace

error_ptr acknowledgements::check(const std::vector<acknowledgement_t>& wanted) {
    for (const acknowledgement_t& one : wanted) {
        if (one.contains.empty() && one.where.empty()) {
            return std::make_unique<error_c>(error_e::INVALID_ARGUMENT,
                                             "match: an acknowledgement that is empty");
        }
        error_ptr error;
        if (!one.where.empty() && !compile(one, error)) {
            return std::make_unique<error_c>(
                error_e::INVALID_ARGUMENT,
                "match: not a JSON Pointer (RFC 6901), or a value that cannot be compared: '" +
                    one.where.front().pointer + "'");
        }
    }
    return nullptr;
}

acknowledgements::acknowledgements(const std::vector<acknowledgement_t>& wanted) {
    for (const acknowledgement_t& one : wanted) {
        std::unique_ptr<record_picker_c> picker;
        error_ptr checked;
        if (!one.where.empty()) picker = std::make_unique<record_picker_c>(compile(one, checked));
        wanted_.push_back({one.contains, std::move(picker)});
    }
}

void acknowledgements::begin() {
    for (one_t& one : wanted_) one.has_come = false;
    missing_ = wanted_.size();
}

void acknowledgements::look_at(const message_view_t& message) {
    for (one_t& one : wanted_) {
        if (one.has_come) continue;
        if (!one.contains.empty() && message.payload.find(one.contains) == std::string_view::npos) {
            continue;
        }
        if (one.picker) {
            const auto outcome = one.picker->Pick(message);
            if (one.picker->Rows(0) != 0) one.picker->Finish(0);
            if (outcome != record_picker_c::outcome_e::MATCHED) continue;
        }
        one.has_come = true;
        --missing_;
    }
}

}  // namespace wspool::detail
