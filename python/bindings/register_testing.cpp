#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "registers.hpp"
#include "wspool/testing/certificates.hpp"
#include "wspool/testing/loopback_server.hpp"

namespace py = pybind11;

namespace {

using wspool::error_c;
using wspool::error_ptr;
using wspool::python::wait_in_slices;
using wspool::python::without_gil;
using wspool::testing::certificate_options_t;
using wspool::testing::connection_record_t;
using wspool::testing::loopback_options_t;
using wspool::testing::loopback_server_c;
using wspool::testing::message_t;
using wspool::testing::mode_e;

using seconds_t = loopback_server_c::seconds_t;

[[noreturn]] void raise(const error_c& error) {
    wspool::python::raise_error(error, nullptr);
    throw py::error_already_set();
}

message_t to_message(py::handle item) {
    message_t message;
    if (PyUnicode_Check(item.ptr())) {
        Py_ssize_t size = 0;
        const char* data = PyUnicode_AsUTF8AndSize(item.ptr(), &size);
        if (data == nullptr) throw py::error_already_set();
        message.data.assign(data, static_cast<std::size_t>(size));
        return message;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(item.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    const std::unique_ptr<Py_buffer, decltype(&PyBuffer_Release)> release(&view, PyBuffer_Release);
    message.data.assign(static_cast<const char*>(view.buf), static_cast<std::size_t>(view.len));
    message.is_text = false;
    return message;
}

mode_e to_mode(const std::string& name) {
    if (name == "echo") return mode_e::ECHOING;
    if (name == "replay") return mode_e::REPLAYING;
    if (name == "sink") return mode_e::SINKING;
    throw py::value_error("mode: must be 'echo', 'replay' or 'sink'");
}

/// HTTP header text is ISO 8859-1 as far as Python is concerned, so no byte can be refused.
py::str latin1(const std::string& text) {
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeLatin1(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr));
}

py::dict to_dict(const connection_record_t& record) {
    py::list headers;
    for (const auto& [name, value] : record.headers) {
        headers.append(py::make_tuple(latin1(name), latin1(value)));
    }
    py::dict fields;
    fields["index"] = record.index;
    fields["opened"] = record.opened;
    fields["finished"] = record.finished;
    fields["path"] = latin1(record.path);
    fields["headers"] = py::tuple(headers);
    fields["subprotocol"] =
        record.subprotocol.empty() ? py::object(py::none()) : latin1(record.subprotocol);
    fields["messages_sent"] = record.messages_sent;
    fields["payload_bytes_sent"] = record.payload_bytes_sent;
    fields["crc32_sent"] = record.crc32_sent;
    fields["messages_received"] = record.messages_received;
    fields["payload_bytes_received"] = record.payload_bytes_received;
    fields["crc32_received"] = record.crc32_received;
    fields["pings_sent"] = record.pings_sent;
    fields["pings_received"] = record.pings_received;
    fields["pongs_received"] = record.pongs_received;
    fields["close_code_sent"] = record.close_code_sent;
    fields["close_code_received"] = record.close_code_received;
    fields["error"] = latin1(record.error);
    return fields;
}

/// Seconds or "no bound"; above what a clock can hold stands for no bound.
std::optional<std::chrono::nanoseconds> to_nanoseconds(std::optional<double> seconds) {
    constexpr double longest = 1e9;
    if (!seconds || *seconds > longest) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(seconds_t(*seconds));
}

std::unique_ptr<loopback_server_c> make_server(
    const std::string& mode, std::string host, std::uint16_t port,
    std::vector<std::string> subprotocols, std::uint64_t max_size, std::string cert_file,
    std::string key_file, bool checksum, bool silent, const py::iterable& messages,
    std::optional<std::uint64_t> repeat, double rate, bool start_on_message, std::size_t fragment,
    std::uint64_t ping_every, bool close_after, bool record_per_message) {
    loopback_options_t options;
    options.mode = to_mode(mode);
    options.host = std::move(host);
    options.port = port;
    options.subprotocols = std::move(subprotocols);
    options.max_size = max_size;
    options.cert_file = std::move(cert_file);
    options.key_file = std::move(key_file);
    options.checksum = checksum;
    options.silent = silent;
    for (const py::handle item : messages) options.replay.messages.push_back(to_message(item));
    options.replay.repeat = repeat;
    options.replay.rate = rate;
    options.replay.start_on_message = start_on_message;
    options.replay.fragment = fragment;
    options.replay.ping_every = ping_every;
    options.replay.close_after = close_after;
    options.replay.record_per_message = record_per_message;

    error_ptr error;
    auto server = without_gil([&] {  // building the frames of a long replay takes time
        return loopback_server_c::Create(std::move(options), error);
    });
    if (error != nullptr) raise(*error);
    return server;
}

void make_certificates(std::string directory, std::vector<std::string> hosts, double not_before,
                       double not_after) {
    certificate_options_t options;
    options.directory = std::move(directory);
    options.hosts = std::move(hosts);
    options.not_before = std::chrono::seconds(static_cast<long long>(not_before));
    options.not_after = std::chrono::seconds(static_cast<long long>(not_after));
    const error_ptr error =
        without_gil([&] { return wspool::testing::Make_certificates(options); });
    if (error != nullptr) raise(*error);
}

}  // namespace

void register_testing(py::module_& m) {
    m.def("make_certificates", &make_certificates, py::arg("directory"), py::kw_only(),
          py::arg("hosts") = std::vector<std::string>{"localhost", "127.0.0.1", "::1"},
          py::arg("not_before") = -300.0, py::arg("not_after") = 86400.0);

    // The server's thread never takes the GIL, so that destruction may join it while holding it.
    py::class_<loopback_server_c>(m, "LoopbackServer")
        .def(py::init(&make_server), py::arg("mode"), py::kw_only(), py::arg("host") = "127.0.0.1",
             py::arg("port") = 0, py::arg("subprotocols") = std::vector<std::string>{},
             py::arg("max_size") = std::uint64_t{64} << 20U, py::arg("cert_file") = "",
             py::arg("key_file") = "", py::arg("checksum") = true, py::arg("silent") = false,
             py::arg("messages") = py::tuple(), py::arg("repeat") = 1, py::arg("rate") = 0.0,
             py::arg("start_on_message") = false, py::arg("fragment") = 0,
             py::arg("ping_every") = 0, py::arg("close_after") = true,
             py::arg("record_per_message") = false)
        .def_property_readonly("port", &loopback_server_c::Port)
        .def_property_readonly("uri", &loopback_server_c::Uri)
        .def_property_readonly("running", &loopback_server_c::Running)
        .def("connections",
             [](const loopback_server_c& self) {
                 const auto records = without_gil([&] { return self.Connections(); });
                 py::list result;
                 for (const connection_record_t& record : records) result.append(to_dict(record));
                 return result;
             })
        .def(
            "wait_connections",
            [](const loopback_server_c& self, std::size_t count, std::optional<double> timeout) {
                return wait_in_slices(to_nanoseconds(timeout), [&](auto slice) {
                    return self.Wait_connections(count, slice);
                });
            },
            py::arg("count"), py::arg("timeout"))
        .def(
            "wait_idle",
            [](const loopback_server_c& self, std::optional<double> timeout) {
                return wait_in_slices(to_nanoseconds(timeout),
                                      [&](auto slice) { return self.Wait_idle(slice); });
            },
            py::arg("timeout"))
        .def(
            "wait_messages",
            [](const loopback_server_c& self, std::uint64_t sent, std::uint64_t received,
               std::optional<double> timeout) {
                return wait_in_slices(to_nanoseconds(timeout), [&](auto slice) {
                    return self.Wait_messages(sent, received, slice);
                });
            },
            py::arg("sent"), py::arg("received"), py::arg("timeout"))
        .def(
            "send_ping",
            [](loopback_server_c& self, const py::bytes& payload) {
                self.Send_ping(std::string(payload));
            },
            py::arg("payload"))
        .def("close_connections", &loopback_server_c::Close_connections, py::arg("code"),
             py::arg("reason"))
        .def("abort_connections", &loopback_server_c::Abort_connections)
        .def(
            "close",
            [](loopback_server_c& self, double timeout) {
                without_gil([&] { self.Close(seconds_t(timeout)); });
            },
            py::arg("timeout"));
}
