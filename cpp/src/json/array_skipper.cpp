#include "json/array_skipper.hpp"

#include "json/token.hpp"

namespace wspool::json {

const char* array_skipper::skip(const char* begin, const char* end) {
    scalars_.clear();
    const auto size = kernel_.skip_array(begin, static_cast<std::size_t>(end - begin), scalars_);
    if (size == 0) return nullptr;
    for (const std::size_t at : scalars_) {
        const char* const last = scalar_end(begin + at, end);
        if (last == nullptr || (*last != ',' && *last != ']')) return nullptr;
    }
    return begin + size;
}

}  // namespace wspool::json
