#include "json/structure.hpp"

#include <algorithm>
#include <cstring>

namespace wspool::json {
namespace {

constexpr std::size_t least_capacity = 4096;
/// Of the index that is kept from message to message, which has four bytes for each of the text.
constexpr std::size_t most_kept = std::size_t{4} << 20U;

}  // namespace

bool structure::index(std::string_view text) {
    count_ = 0;
    text_ = text;
    // A byte order mark is no part of JSON (RFC 8259 section 8.1).
    if (text.empty() || text.front() == '\xEF' || text.size() >= simdjson::SIMDJSON_MAXSIZE_BYTES)
        return false;
    const bool too_large = parser_ && parser_->capacity() > most_kept && text.size() <= most_kept;
    if (!parser_ || too_large) {
        const auto capacity = std::max(text.size(), least_capacity);
        if (simdjson::get_active_implementation()->create_dom_parser_implementation(capacity, 1,
                                                                                    parser_)) {
            parser_.reset();
            return false;
        }
    } else if (parser_->capacity() < text.size() &&
               parser_->allocate(std::max(text.size(), parser_->capacity() * 2), 1)) {
        parser_.reset();
        return false;
    }
    if (parser_->stage1(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                        simdjson::stage1_mode::regular))
        return false;
    count_ = parser_->n_structural_indexes;
    parser_->structural_indexes[count_] = static_cast<std::uint32_t>(text.size());
    tokens_ = parser_->structural_indexes.get();
    has_backslash_ = std::memchr(text.data(), '\\', text.size()) != nullptr;
    return count_ != 0;
}

}  // namespace wspool::json
