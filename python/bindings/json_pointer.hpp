#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wspool::python {

/// A parsed JSON Pointer (RFC 6901).
class json_pointer {
public:
    /// One step: the name of a member, and the index it means in an array, if it can.
    struct step {
        std::string name;
        std::optional<std::size_t> index;
    };

    /// Empty if `text` is not a JSON Pointer.
    static std::optional<json_pointer> parse(std::string_view text);

    [[nodiscard]] const std::vector<step>& steps() const noexcept { return steps_; }

private:
    std::vector<step> steps_;
};

}  // namespace wspool::python
