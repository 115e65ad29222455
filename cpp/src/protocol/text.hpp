#pragma once

#include <string_view>

namespace wspool::protocol {

/// Whether two ASCII texts differ at most in case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// Without spaces and tabs at both ends (OWS of RFC 9110 section 5.6.3).
std::string_view trimmed(std::string_view text);

}  // namespace wspool::protocol
