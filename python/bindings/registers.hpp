#pragma once

#include <pybind11/pybind11.h>

namespace wspool::python {

// Each adds one topic to the module; defined in register_<topic>.cpp or the topic's own file.
void register_connection(pybind11::module_& module);
void register_endpoint(pybind11::module_& module);
void register_errors(pybind11::module_& module);
void register_hooks(pybind11::module_& module);
void register_lifecycle(pybind11::module_& module);
void register_message(pybind11::module_& module);
void register_pull(pybind11::module_& module);
void register_records(pybind11::module_& module);
void register_stream(pybind11::module_& module);
void register_tls(pybind11::module_& module);

}  // namespace wspool::python

void register_testing(pybind11::module_& module);
