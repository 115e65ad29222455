#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "connection.hpp"
#include "convert.hpp"
#include "errors.hpp"
#include "gil.hpp"
#include "lifecycle.hpp"
#include "listener.hpp"
#include "pull.hpp"
#include "record_listener.hpp"
#include "records.hpp"
#include "registers.hpp"
#include "wspool/endpoint_pool.hpp"
#include "wspool/record_stream.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

[[noreturn]] void throw_error(const error_c& error) {
    raise_error(error, nullptr);
    throw py::error_already_set();
}

/// The object of this process; raises in a child of the one that made it.
template <class T>
std::shared_ptr<T> native_of(const owned<T>& object) {
    auto native = object.get();
    if (!native) {
        raise_wrong_process(nullptr);
        throw py::error_already_set();
    }
    return native;
}

using endpoint = owned<endpoint_c>;
using pool = owned<endpoint_pool_c>;

void create(const endpoint& self, const py::object& connection, const std::string& uri,
            const py::dict& native_options, const py::object& on_message, bool takes_events) {
    if (PyObject_TypeCheck(connection.ptr(), &connection_type) == 0)
        throw py::type_error("connection must be a wspool._core.Connection");
    const auto native = native_of(self);
    const auto options = make_options(native_options);
    auto listener = std::make_shared<python_listener>(
        connection.ptr(), on_message.is_none() ? nullptr : on_message.ptr(), takes_events);
    std::shared_ptr<metadata_c> handle;
    const auto error = without_gil(
        [&] { return native->Create_new_connection(uri, std::move(listener), options, handle); });
    if (error) throw_error(*error);
    attach(connection.ptr(), std::move(handle));
}

void create_pull(const endpoint& self, const py::object& connection, const std::string& uri,
                 const py::dict& native_options, std::shared_ptr<ready_list_c> ready,
                 std::uint64_t number) {
    if (PyObject_TypeCheck(connection.ptr(), &pull_type) == 0)
        throw py::type_error("connection must be a wspool._core.PullConnection");
    const auto native = native_of(self);
    const auto options = make_options(native_options);
    const auto queue = std::make_shared<message_queue_c>(options.queue, std::move(ready), number,
                                                         native_options["events"].cast<bool>());
    std::shared_ptr<metadata_c> handle;
    const auto error = without_gil([&] {
        return native->Create_new_connection(uri, std::shared_ptr<sink_c>(queue), options, handle);
    });
    if (error) throw_error(*error);
    pull_of(connection.ptr())->queue = queue;
    attach(connection.ptr(), std::move(handle));
}

PyObject* or_null(const py::object& callback) {
    return callback.is_none() ? nullptr : callback.ptr();
}

void create_records(const endpoint& self, const py::object& connection, const std::string& uri,
                    const py::dict& native_options, const std::string& label,
                    std::shared_ptr<field_set_c> fields, const py::object& on_batch,
                    const py::object& on_record, const py::object& on_unmatched,
                    bool takes_events) {
    if (PyObject_TypeCheck(connection.ptr(), &connection_type) == 0)
        throw py::type_error("connection must be a wspool._core.Connection");
    const auto native = native_of(self);
    const auto options = make_options(native_options);
    const record_callbacks callbacks{or_null(on_batch), or_null(on_record), or_null(on_unmatched)};
    std::shared_ptr<listener_c> listener = std::make_shared<python_record_listener>(
        connection.ptr(), std::move(fields), label, callbacks, takes_events);
    std::shared_ptr<metadata_c> handle;
    const auto error = without_gil(
        [&] { return native->Create_new_connection(uri, std::move(listener), options, handle); });
    if (error) throw_error(*error);
    attach(connection.ptr(), std::move(handle));
}

/// A connection of a stream.
void create_in_stream(const endpoint& self, const py::object& connection, const std::string& uri,
                      const py::dict& native_options, const record_stream& records,
                      const std::string& label, std::size_t lane) {
    if (PyObject_TypeCheck(connection.ptr(), &connection_type) == 0)
        throw py::type_error("connection must be a wspool._core.Connection");
    const auto native = native_of(self);
    const auto stream = stream_of(records);
    const auto options = make_options(native_options);
    std::shared_ptr<metadata_c> handle;
    const auto error = without_gil([&] {
        return native->Create_new_connection(uri, stream->New_sink(label, lane), options, handle);
    });
    if (error) throw_error(*error);
    attach(connection.ptr(), std::move(handle));
}

void close_all(const endpoint& self, std::uint16_t code, const std::string& reason) {
    const auto native = native_of(self);
    const auto error = without_gil([&] { return native->Close_all_connections(code, reason); });
    if (error) throw_error(*error);
}

bool wait_for_closing_all(const endpoint& self, const py::object& timeout) {
    const auto native = native_of(self);
    error_ptr failed;
    const bool ended = wait_in_slices(seconds_or_none(timeout), [&](auto slice) {
        failed = native->Wait_for_closing_all(slice);
        if (failed && failed->Code() == error_e::TIMEOUT) {
            failed.reset();
            return false;
        }
        return true;
    });
    if (failed) throw_error(*failed);
    return ended;
}

bool stop(const endpoint& self, const py::object& timeout) {
    const auto native = native_of(self);
    return wait_in_slices(seconds_or_none(timeout),
                          [&](auto slice) { return native->Stop(slice); });
}

bool on_own_thread(const endpoint& self) { return native_of(self)->On_own_thread(); }

py::object statistics(const endpoint& self) {
    const auto native = native_of(self);
    return statistics_tuple(without_gil([&] { return native->Get_statistics(); }));
}

pool instance() {
    // Never destroyed, so not owned by what Python holds of it.
    return pool(std::shared_ptr<endpoint_pool_c>(&endpoint_pool_c::Instance(), [](auto*) {}));
}

pool make_pool(std::size_t size) { return pool(std::make_shared<endpoint_pool_c>(size)); }

py::list endpoints(const pool& self) {
    const auto native = native_of(self);
    py::list list;
    for (std::size_t i = 0; i <= native->Max_index(); ++i) {
        auto shared = native->Share_endpoint(i);
        remember_endpoint(shared);
        list.append(endpoint(std::move(shared)));
    }
    return list;
}

}  // namespace

void register_endpoint(py::module_& module) {
    py::class_<endpoint>(module, "Endpoint")
        .def("create", &create)
        .def("create_pull", &create_pull)
        .def("create_records", &create_records)
        .def("create_in_stream", &create_in_stream)
        .def("close_all_connections", &close_all)
        .def("wait_for_closing_all", &wait_for_closing_all)
        .def("stop", &stop)
        .def("on_own_thread", &on_own_thread)
        .def("statistics", &statistics);
    py::class_<pool>(module, "EndpointPool")
        .def(py::init(&make_pool))
        .def_static("instance", &instance)
        .def("endpoints", &endpoints);
}

}  // namespace wspool::python
