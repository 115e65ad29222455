#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "errors.hpp"
#include "gil.hpp"
#include "registers.hpp"
#include "tls_context.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

tls_context create(std::string ca_file, std::string ca_path, std::string ca_data,
                   std::string cert_file, std::string key_file, std::string key_password,
                   bool verify, bool check_hostname, bool tls_1_3_only, std::string ciphers) {
    tls_options_t options;
    options.ca_file = std::move(ca_file);
    options.ca_path = std::move(ca_path);
    options.ca_data = std::move(ca_data);
    options.cert_file = std::move(cert_file);
    options.key_file = std::move(key_file);
    options.key_password = std::move(key_password);
    options.verify = verify;
    options.check_hostname = check_hostname;
    options.min_version = tls_1_3_only ? tls_version_e::TLS_1_3 : tls_version_e::TLS_1_2;
    options.ciphers = std::move(ciphers);
    error_ptr error;
    // Reads and parses files.
    auto native = without_gil([&] { return tls_context_c::Create(options, error); });
    if (!native) {
        raise_error(error ? *error : error_c(error_e::TLS, "TLS settings were refused"), nullptr);
        throw py::error_already_set();
    }
    return tls_context{std::move(native)};
}

}  // namespace

void register_tls(py::module_& module) {
    py::class_<tls_context>(module, "TLSContext")
        .def(py::init(&create), py::kw_only(), py::arg("ca_file"), py::arg("ca_path"),
             py::arg("ca_data"), py::arg("cert_file"), py::arg("key_file"), py::arg("key_password"),
             py::arg("verify"), py::arg("check_hostname"), py::arg("tls_1_3_only"),
             py::arg("ciphers"));
}

}  // namespace wspool::python
