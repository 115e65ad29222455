#include "wspool/json_pointer.hpp"

#include <algorithm>

namespace wspool {
namespace {

/// RFC 6901 section 4: digits without a leading zero.
std::optional<std::size_t> array_index(std::string_view name) {
    constexpr std::size_t most_digits = 18;
    if (name.empty() || name.size() > most_digits) return {};
    if (name.size() > 1 && name[0] == '0') return {};
    std::size_t index = 0;
    for (const char c : name) {
        if (c < '0' || c > '9') return {};
        index = index * 10 + static_cast<std::size_t>(c - '0');
    }
    return index;
}

std::optional<std::string> unescape(std::string_view name) {
    std::string result;
    result.reserve(name.size());
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] != '~') {
            result += name[i];
            continue;
        }
        if (++i == name.size() || (name[i] != '0' && name[i] != '1')) return {};
        result += name[i] == '0' ? '~' : '/';
    }
    return result;
}

}  // namespace

std::optional<json_pointer_c> json_pointer_c::Parse(std::string_view text) {
    std::vector<step_t> steps;
    if (text.empty()) return json_pointer_c();
    if (text[0] != '/') return {};
    while (!text.empty()) {
        text.remove_prefix(1);
        const auto end = std::min(text.find('/'), text.size());
        auto name = unescape(text.substr(0, end));
        if (!name) return {};
        auto index = array_index(*name);
        steps.push_back({std::move(*name), index});
        text.remove_prefix(end);
    }
    return json_pointer_c(std::move(steps));
}

}  // namespace wspool
