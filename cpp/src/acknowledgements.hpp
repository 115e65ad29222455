#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "wspool/error.hpp"
#include "wspool/message_view.hpp"
#include "wspool/reconnect.hpp"
#include "wspool/record_picker.hpp"

namespace wspool::detail {

/// Tells whether all acknowledgements that are waited for have come. Loop thread.
class acknowledgements {
public:
    /// They must be valid: see `check`.
    explicit acknowledgements(const std::vector<acknowledgement_t>& wanted);
    /// The error names the option.
    static error_ptr check(const std::vector<acknowledgement_t>& wanted);

    void begin();
    void look_at(const message_view_t& message);
    [[nodiscard]] bool are_complete() const { return missing_ == 0; }

private:
    struct one_t {
        std::string contains;
        std::unique_ptr<record_picker_c> picker;  // null: no conditions
        bool has_come = false;
    };
    std::vector<one_t> wanted_;
    std::size_t missing_ = 0;
};

}  // namespace wspool::detail
