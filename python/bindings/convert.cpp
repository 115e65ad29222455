#include "convert.hpp"

#include <cmath>
#include <cstring>
#include <memory>

#include "hooks.hpp"
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

py::object statistics_tuple(const statistics_t& s) {
    py::list counts;
    for (const auto one : s.round_trips.counts) counts.append(one);
    return py::make_tuple(
        s.messages_received, s.bytes_received, s.payload_received, s.messages_sent, s.bytes_sent,
        s.pauses, s.callback_errors, s.reconnects, s.failed_attempts, s.duplicates, s.dropped,
        s.last_message_ns, s.last_received_ns, s.waiting_messages, s.waiting_bytes,
        s.waiting_since_ns, py::make_tuple(counts, s.round_trips.sum_ns, s.round_trips.max_ns));
}

bool seconds_from(PyObject* seconds, double& out) {
    // A bool is meant for another parameter, or for a library that has another order.
    if (PyBool_Check(seconds) == 0) {
        out = PyFloat_AsDouble(seconds);
        if (PyErr_Occurred() == nullptr && !std::isnan(out)) return true;
        if (PyErr_Occurred() != nullptr && PyErr_ExceptionMatches(PyExc_TypeError) == 0)
            return false;
    }
    PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %R", seconds);
    return false;
}

std::optional<std::chrono::nanoseconds> seconds_or_none(const py::object& seconds) {
    if (seconds.is_none()) return {};
    double value = 0;
    if (!seconds_from(seconds.ptr(), value)) throw py::error_already_set();
    // Above this the sum with a time point could overflow; nobody waits for thirty years.
    constexpr double most = 1e9;
    if (value >= most) return {};
    return std::chrono::nanoseconds(static_cast<std::int64_t>(std::max(value, 0.0) * 1e9));
}

json_scalar_t scalar_from(const py::handle& value) {
    PyObject* const object = value.ptr();
    if (object == Py_None) return std::monostate();
    if (PyBool_Check(object)) return object == Py_True;
    if (PyLong_Check(object)) {
        int overflow = 0;
        const long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow == 0) return std::int64_t{number};
        if (overflow > 0) {
            const unsigned long long large = PyLong_AsUnsignedLongLong(object);
            if (PyErr_Occurred() == nullptr) return std::uint64_t{large};
            PyErr_Clear();
        }
        throw py::value_error("where: integers must fit in 64 bits");
    }
    if (PyFloat_Check(object)) return PyFloat_AS_DOUBLE(object);
    return value.cast<std::string>();
}

std::vector<condition_t> conditions_from(const py::handle& given) {
    std::vector<condition_t> conditions;
    for (const auto& entry : given) {
        const auto condition = entry.cast<py::tuple>();
        condition_t made;
        made.pointer = condition[0].cast<std::string>();
        for (const auto& value : condition[1]) made.any_of.push_back(scalar_from(value));
        conditions.push_back(std::move(made));
    }
    return conditions;
}

proxy_t proxy_from(const py::object& given) {
    proxy_t proxy;
    if (given.is_none()) return proxy;
    const auto parts = given.cast<py::tuple>();
    proxy.kind = static_cast<proxy_t::kind_e>(parts[0].cast<int>());
    proxy.host = parts[1].cast<std::string>();
    proxy.port = parts[2].cast<std::uint16_t>();
    proxy.has_credentials = !parts[3].is_none();
    if (proxy.has_credentials) {
        proxy.user = parts[3].cast<std::string>();
        proxy.password = parts[4].cast<std::string>();
    }
    if (!parts[5].is_none()) proxy.tls = parts[5].cast<const tls_context&>().native;
    proxy.server_hostname = parts[6].cast<std::string>();
    return proxy;
}

namespace {

/// What wspool.reconnecting makes of a Reconnect.
reconnect_t reconnect_from(const py::tuple& native) {
    const auto duration = [&](std::size_t i) {
        return std::chrono::milliseconds(native[i].cast<std::int64_t>());
    };
    reconnect_t made;
    made.enabled = true;
    made.initial_delay = duration(0);
    made.max_delay = duration(1);
    made.factor = native[2].cast<double>();
    made.stable_after = duration(3);
    made.max_attempts = native[4].cast<unsigned>();
    made.until_open = native[5].cast<bool>();
    made.failures_before = native[6].cast<unsigned>();
    made.give_up_after = duration(7);
    return made;
}

void read_feed_options(const py::dict& native, options_t& options) {
    if (const py::object how = native["reconnect"]; !how.is_none())
        options.reconnect = reconnect_from(how.cast<py::tuple>());
    for (const auto& message : native["subscriptions"].cast<py::list>()) {
        options.subscriptions.push_back(
            {message.cast<std::string>(), PyUnicode_Check(message.ptr()) != 0});
    }
    for (const auto& item : native["match"].cast<py::list>()) {
        const auto pair = item.cast<py::tuple>();
        options.match.push_back({pair[0].cast<std::string>(), conditions_from(pair[1])});
    }
    options.replace_after = milliseconds(native, "replace_after");
    options.redundancy = native["redundancy"].cast<unsigned>();
    for (const auto& pointer : native["dedup"].cast<py::list>())
        options.dedup.push_back(pointer.cast<std::string>());
    if (const py::object source = native["source"]; !source.is_none()) {
        const auto pair = source.cast<py::tuple>();
        options.source = make_source(pair[0], pair[1]);
    }
    if (const py::object log = native["log"]; !log.is_none()) {
        const auto pair = log.cast<py::tuple>();
        options.log = make_log(pair[0], pair[1].cast<int>());
    }
}

}  // namespace

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
    options.tells_events = native["events"].cast<bool>();
    options.idle_timeout = milliseconds(native, "idle_timeout");
    options.proxy = proxy_from(native["proxy"]);
    read_feed_options(native, options);
    options.write_bound = native["write_limit"].cast<std::size_t>();
    return options;
}

}  // namespace wspool::python
