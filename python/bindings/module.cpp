#include "registers.hpp"
#include "wspool/version.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The native core of wspool. Import wspool instead.";
    module.attr("__version__") = WSPOOL_VERSION;
    wspool::python::register_lifecycle(module);
    wspool::python::register_errors(module);
    wspool::python::register_message(module);
    wspool::python::register_tls(module);
    wspool::python::register_hooks(module);
    wspool::python::register_connection(module);
    wspool::python::register_pull(module);
    wspool::python::register_records(module);
    wspool::python::register_stream(module);
    wspool::python::register_endpoint(module);
    register_testing(module);
}
