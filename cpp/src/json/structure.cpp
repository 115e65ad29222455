#include "json/structure.hpp"

#include <simdjson.h>

namespace wspool::json {
namespace {

/// Of the blocks that are kept from message to message.
constexpr std::size_t most_kept = (std::size_t{4} << 20U) / sizeof(std::uint64_t);

}  // namespace

bool structure::index(std::string_view text, bool is_utf8) {
    text_ = text;
    // A byte order mark is no part of JSON (RFC 8259 section 8.1).
    if (text.empty() || text.front() == '\xEF') return false;
    const std::size_t count = (text.size() + bits - 1) / bits;
    if (quotes_.size() < count || (quotes_.size() > most_kept && count <= most_kept)) {
        quotes_ = {};
        quotes_.resize(count);
    }
    found_ = kernel_.scan(text.data(), text.size(), quotes_.data());
    if (found_.is_open || found_.has_control) return false;
    return is_utf8 || simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace wspool::json
