#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/export.hpp"

namespace wspool {

/// A parsed JSON Pointer (RFC 6901). Immutable; any thread may read it.
class WSPOOL_API json_pointer_c {
public:
    /// One step: the name of a member, and the index it means in an array, if it can.
    struct step_t {
        std::string name;
        std::optional<std::size_t> index;
    };

    /// The whole document.
    json_pointer_c() = default;
    explicit json_pointer_c(std::vector<step_t> steps) : steps_(std::move(steps)) {}

    /// Empty if `text` is not a JSON Pointer.
    [[nodiscard]] static std::optional<json_pointer_c> Parse(std::string_view text);

    [[nodiscard]] const std::vector<step_t>& Steps() const noexcept { return steps_; }

private:
    std::vector<step_t> steps_;
};

}  // namespace wspool
