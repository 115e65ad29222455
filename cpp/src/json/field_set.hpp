#pragma once

#include <string>
#include <variant>
#include <vector>

#include "json/picker.hpp"
#include "json/plan.hpp"
#include "json/token.hpp"
#include "wspool/fields.hpp"

namespace wspool {

/// What `field_set_c` compiles to.
class field_set_c::impl {
public:
    /// Where a column's value is: in the row if there is one, else in the message.
    struct place_t {
        int in_row = json::plan::none;
        int in_message = json::plan::none;
    };
    struct test_t {
        int slot;
        const std::vector<json_scalar_t>* any_of;
    };
    struct compiled_t {
        std::vector<place_t> places;  // of the columns
        std::vector<test_t> tests;
        int rows = json::plan::none;
    };

    explicit impl(std::vector<fields_t> given) : fields(std::move(given)) {}

    /// An error names what is wrong.
    error_ptr compile();
    /// Whether a picked message has what these fields are for. `scratch` is for unescaping.
    [[nodiscard]] bool matches(const compiled_t& one, const json::picker& picked,
                               std::string& scratch) const;

    const std::vector<fields_t> fields;
    json::plan plan;
    std::vector<compiled_t> compiled;

private:
    error_ptr compile_one(const fields_t& one);
};

}  // namespace wspool
