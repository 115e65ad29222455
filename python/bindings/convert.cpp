#include "convert.hpp"

#include <cmath>
#include <cstring>
#include <memory>

#include "tls_context.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

std::chrono::milliseconds milliseconds(const py::dict& native, const char* name) {
    return std::chrono::milliseconds(native[name].cast<std::int64_t>());
}

/// What wspool.Deflate.to_native() returns.
deflate_options_t make_deflate(const py::tuple& native) {
    deflate_options_t options;
    options.client_max_window_bits = native[0].cast<int>();
    options.server_max_window_bits = native[1].cast<int>();
    options.client_no_context_takeover = native[2].cast<bool>();
    options.server_no_context_takeover = native[3].cast<bool>();
    options.level = native[4].cast<int>();
    return options;
}

}  // namespace

PyObject* make_text(std::string_view text) {
    return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
}

PyObject* make_ascii_text(std::string_view text) {
    // CPython keeps the empty and the one-character strings; ask it for those.
    if (text.size() < 2) return make_text(text);
    PyObject* const made = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
    if (made != nullptr) std::memcpy(PyUnicode_1BYTE_DATA(made), text.data(), text.size());
    return made;
}

PyObject* decode_lenient(std::string_view bytes) {
    return PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace");
}

PyObject* header_list(const std::vector<std::pair<std::string, std::string>>& headers) {
    py::list result;
    const auto latin1 = [](const std::string& bytes) {
        PyObject* const text =
            PyUnicode_DecodeLatin1(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), nullptr);
        if (text == nullptr) throw py::error_already_set();
        return py::reinterpret_steal<py::str>(text);
    };
    try {
        for (const auto& [name, value] : headers)
            result.append(py::make_tuple(latin1(name), latin1(value)));
    } catch (py::error_already_set& error) {
        error.restore();
        return nullptr;
    }
    return result.release().ptr();
}

std::optional<std::chrono::nanoseconds> seconds_or_none(const py::object& seconds) {
    if (seconds.is_none()) return {};
    const double value = PyFloat_AsDouble(seconds.ptr());
    if (value == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    if (std::isnan(value)) throw py::value_error("timeout must not be NaN");
    // Above this the sum with a time point could overflow; nobody waits for thirty years.
    constexpr double most = 1e9;
    if (value >= most) return {};
    return std::chrono::nanoseconds(static_cast<std::int64_t>(std::max(value, 0.0) * 1e9));
}

options_t make_options(const py::dict& native) {
    options_t options;
    const auto headers = native["additional_headers"].cast<py::list>();
    for (const auto& item : headers) {
        const auto pair = item.cast<py::tuple>();
        options.additional_headers.emplace_back(pair[0].cast<std::string>(),
                                                pair[1].cast<std::string>());
    }
    options.user_agent = native["user_agent"].cast<std::string>();
    options.origin = native["origin"].cast<std::string>();
    for (const auto& item : native["subprotocols"].cast<py::list>())
        options.subprotocols.push_back(item.cast<std::string>());
    const py::object deflate = native["deflate"];
    options.deflate.enabled = !deflate.is_none();
    if (options.deflate.enabled) options.deflate = make_deflate(deflate.cast<py::tuple>());
    if (const py::object tls = native["tls"]; !tls.is_none())
        options.tls = tls.cast<const tls_context&>().native;
    options.default_ca_file = native["default_ca_file"].cast<std::string>();
    options.default_ca_path = native["default_ca_path"].cast<std::string>();
    options.server_hostname = native["server_hostname"].cast<std::string>();
    options.local_address = native["local_address"].cast<std::string>();
    options.local_port = native["local_port"].cast<unsigned short>();
    options.unix_path = native["unix_path"].cast<std::string>();
    options.open_timeout = milliseconds(native, "open_timeout");
    options.close_timeout = milliseconds(native, "close_timeout");
    options.ping_interval = milliseconds(native, "ping_interval");
    options.ping_timeout = milliseconds(native, "ping_timeout");
    options.max_size = native["max_size"].cast<std::size_t>();
    options.queue.messages = native["max_queue"].cast<std::size_t>();
    options.queue.low_messages = native["max_queue_low"].cast<std::size_t>();
    options.queue.overflow = static_cast<overflow_e>(native["overflow"].cast<int>());
    options.queue.bytes = native["max_queue_bytes"].cast<std::size_t>();
    options.write_bound = native["write_limit"].cast<std::size_t>();
    return options;
}

}  // namespace wspool::python
