#pragma once

#include <simdjson.h>

#include <string_view>

#include "json_pointer.hpp"

namespace wspool::python {

enum class found_e {
    FOUND,
    MISSING,
    UNSURE,  ///< the text is not JSON, or is something that json.loads must judge
};

/// Walks once over the text, forward, without building anything, to the value that `pointer`
/// names; `value` is its text. SIMDJSON_PADDING bytes must be readable behind `payload`.
found_e json_find(simdjson::ondemand::parser& parser, std::string_view payload,
                  const json_pointer& pointer, std::string_view& value);

}  // namespace wspool::python
