#pragma once

#include <Python.h>
#include <pybind11/pybind11.h>

#include <memory>

#include "wspool/log.hpp"
#include "wspool/reconnect.hpp"

namespace wspool::python {

/// `write(level, topic, text)` of Python, called from the level on that it says. GIL held.
std::shared_ptr<log_c> make_log(const pybind11::object& write, int least_level);
/// `prepare(attempt, ticket)` and `judge(error, was_open, by_default, ticket)` of Python; each may
/// be None. GIL held.
std::shared_ptr<attempt_source_c> make_source(const pybind11::object& prepare,
                                              const pybind11::object& judge);

}  // namespace wspool::python
