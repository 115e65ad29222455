#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wspool/error.hpp"
#include "wspool/export.hpp"

namespace wspool {

enum class column_kind_e {
    INT64,       ///< an integer, or a string that holds one
    UINT64,      ///< the same
    FLOAT64,     ///< a number, or a string that holds one; rounded correctly
    BOOL,        ///< true, false, 1, 0, or a string that holds one of these
    STRING,      ///< a string, unescaped
    CATEGORY,    ///< the same, as numbers into a dictionary
    DECIMAL128,  ///< a number, or a string that holds one, without loss
    TIMESTAMP,   ///< a number that counts from 1970, or a string that holds one; or ISO 8601 text
    JSON,        ///< any value, as text
    LIST,        ///< an array
};

/// The value is the power of ten by which it divides a second.
enum class time_unit_e : std::uint8_t {
    SECONDS = 0,
    MILLISECONDS = 3,
    MICROSECONDS = 6,
    NANOSECONDS = 9,
};

struct column_type_t {
    column_kind_e kind = column_kind_e::STRING;
    time_unit_e unit = time_unit_e::NANOSECONDS;  ///< of TIMESTAMP
    bool is_iso = false;                          ///< of TIMESTAMP: from ISO 8601 text
    std::uint8_t precision = 0;                   ///< of DECIMAL128: digits, 1 to 38
    std::uint8_t scale = 0;                       ///< of DECIMAL128: of them behind the point
    std::shared_ptr<const column_type_t> item;    ///< of LIST

    /// Reads "int64", "uint64", "float64", "bool", "string", "category", "json",
    /// "decimal128(p, s)", "timestamp[s|ms|us|ns|iso]" and "list<...>"; empty for anything else.
    [[nodiscard]] static WSPOOL_API std::optional<column_type_t> Parse(std::string_view text);
};

/// One value of each message or row. `pointer` is a JSON Pointer (RFC 6901). Where there are rows
/// it is looked up in the element first and then in the message; "./x" and "x" are of the element
/// only, "#/x" is of the message only, and "../x" of what holds the array.
struct column_t {
    std::string name;
    std::string pointer;
    column_type_t type;
};

/// A value to compare with; std::monostate stands for null.
using json_scalar_t =
    std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

/// Holds if the value at `pointer` is one of these.
struct condition_t {
    std::string pointer;
    std::vector<json_scalar_t> any_of;
};

/// What is picked out of which messages.
struct fields_t {
    std::string name;
    std::vector<column_t> columns;
    std::vector<condition_t> where;   ///< all must hold
    std::optional<std::string> rows;  ///< pointer to an array of which each element is a row
};

/// Several `fields_t` for the same messages, compiled into one walk over each. Immutable; any
/// thread may use it.
class WSPOOL_API field_set_c {
public:
    class impl;

    /// Null, with INVALID_ARGUMENT in `error`, if something is no pointer or does not fit.
    [[nodiscard]] static std::shared_ptr<const field_set_c> Compile(std::vector<fields_t> fields,
                                                                    error_ptr& error);
    explicit field_set_c(std::unique_ptr<const impl> compiled);
    ~field_set_c();
    field_set_c(const field_set_c&) = delete;
    field_set_c& operator=(const field_set_c&) = delete;

    [[nodiscard]] const std::vector<fields_t>& Fields() const noexcept;
    [[nodiscard]] const impl& Compiled() const noexcept { return *impl_; }

private:
    std::unique_ptr<const impl> impl_;
};

}  // namespace wspool
