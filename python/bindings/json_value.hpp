#pragma once

#include <Python.h>

#include <string_view>

namespace wspool::python {

/// The payload of a message: SIMDJSON_PADDING readable bytes follow it.
struct json_source {
    std::string_view payload;
    PyObject* owner;                   ///< keeps the payload alive
    PyObject* (*original)(PyObject*);  ///< str or bytes of `owner`, for json.loads; new reference
};

/// The whole document: what json.loads() returns for it, or raises. New reference, or null with
/// an exception set.
PyObject* json_document(const json_source& source);

/// The value at a JSON Pointer (RFC 6901). Raises ValueError for what is no pointer, KeyError with
/// the pointer if there is no such value, json.JSONDecodeError for what is no JSON up to there.
/// Where a name occurs twice the last counts, as in json.loads().
PyObject* json_at(const json_source& source, PyObject* pointer);

}  // namespace wspool::python
