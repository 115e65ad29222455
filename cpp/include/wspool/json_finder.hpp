#pragma once

#include <memory>
#include <string_view>

#include "wspool/export.hpp"
#include "wspool/json_pointer.hpp"

namespace wspool {

/// Finds the value at one JSON Pointer (RFC 6901) in one text after the other. Nothing is
/// converted; the whole text is checked. Where a name occurs twice, the last counts.
///
/// Thread safety: one thread at a time.
class WSPOOL_API json_finder_c {
public:
    enum class found_e {
        FOUND,
        MISSING,
        NOT_JSON,  ///< NaN and Infinity count as numbers; deeper than 1024 is not JSON
    };

    explicit json_finder_c(const json_pointer_c& pointer);
    ~json_finder_c();
    json_finder_c(const json_finder_c&) = delete;
    json_finder_c& operator=(const json_finder_c&) = delete;

    /// `value` becomes the text of the value, in `text`. `is_utf8`: that is known already.
    found_e Find(std::string_view text, bool is_utf8, std::string_view& value);

private:
    class impl;
    const std::unique_ptr<impl> impl_;
};

}  // namespace wspool
