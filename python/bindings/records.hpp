#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "lifecycle.hpp"
#include "wspool/fields.hpp"
#include "wspool/record_batch.hpp"
#include "wspool/record_stream.hpp"

namespace wspool::python {

using batch_ptr = std::shared_ptr<const record_batch_t>;
using column_ptr = std::shared_ptr<const column_data_t>;

// All of these want the GIL.

/// What `int`, `str`, `datetime` and so on say of one value. New reference, or null with an
/// exception set.
PyObject* value_at(const column_data_t& column, std::size_t row);
/// All of them, or the first `most`; throws error_already_set.
pybind11::list column_to_list(const column_data_t& column,
                              std::size_t most = static_cast<std::size_t>(-1));
/// The values of one row, of the columns that were asked for. New reference, or null.
PyObject* row_as_tuple(const record_batch_t& batch, std::size_t row);

/// wspool._core.RecordBatch. New reference, or null with an exception set.
PyObject* make_batch_object(const batch_ptr& batch) noexcept;

/// The type's Arrow format string, such as "tsn:".
std::string arrow_format(const column_type_t& type);
/// Capsules of Arrow's C data interface; the memory lives as long as they do.
pybind11::capsule arrow_schema(const field_set_c& fields, std::size_t number);
pybind11::capsule arrow_array(const batch_ptr& batch);
/// A stream of what `next` returns: native batches, and None for the end. What it raises becomes
/// the stream's error.
pybind11::capsule arrow_stream(std::shared_ptr<const field_set_c> fields, std::size_t number,
                               pybind11::object next);

/// wspool._core.RecordStream.
using record_stream = owned<record_stream_c>;
/// Raises in a child of the process that made it.
std::shared_ptr<record_stream_c> stream_of(const record_stream& object);

/// A Python sequence of (name, [(column, pointer, type)], [(pointer, [values])], rows or None).
/// Throws ValueError.
std::shared_ptr<const field_set_c> compile_fields(const pybind11::sequence& given);

}  // namespace wspool::python
