#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "convert.hpp"
#include "errors.hpp"
#include "lifecycle.hpp"
#include "message.hpp"
#include "records.hpp"
#include "registers.hpp"
#include "wspool/record_stream.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

using found_e = record_stream_c::found_e;

record_stream make(std::shared_ptr<field_set_c> fields, std::size_t batch_rows, double max_delay,
                   std::size_t max_batches, int overflow, std::size_t lanes,
                   std::size_t kept_unmatched, bool takes_events,
                   std::shared_ptr<ready_list_c> ready, std::uint64_t number) {
    record_stream_options_t options;
    options.batch_rows = batch_rows;
    options.max_delay = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(max_delay));
    options.max_batches = max_batches;
    options.overflow = static_cast<overflow_e>(overflow);
    options.lanes = lanes;
    options.kept_unmatched = kept_unmatched;
    options.takes_events = takes_events;
    return record_stream(
        std::make_shared<record_stream_c>(std::move(fields), options, std::move(ready), number));
}

/// (batch or None, whether that was all)
py::tuple result_of(found_e found, const batch_ptr& batch) {
    py::object object = py::none();
    if (found == found_e::BATCH) object = py::cast(std::const_pointer_cast<record_batch_t>(batch));
    return py::make_tuple(object, found == found_e::END);
}

py::tuple take(const record_stream& self) {
    const auto stream = stream_of(self);
    batch_ptr batch;
    const found_e found = without_gil([&] { return stream->Take(batch); });
    return result_of(found, batch);
}

/// Waits in slices, so that Ctrl-C is noticed. Comes back early for messages that match nothing.
py::tuple take_within(const record_stream& self, const py::object& timeout) {
    batch_ptr batch;
    auto found = found_e::NOTHING;
    const auto stream = stream_of(self);
    wait_in_slices(seconds_or_none(timeout), [&](std::chrono::nanoseconds slice) {
        found = stream->Take_within(slice, batch);
        return found != found_e::NOTHING || stream->Has_unmatched();
    });
    return result_of(found, batch);
}

bool wait_opened(const record_stream& self, const py::object& timeout) {
    const auto stream = stream_of(self);
    return wait_in_slices(seconds_or_none(timeout),
                          [&](auto slice) { return stream->Wait_opened(slice); });
}

py::object due_in(const record_stream& self) {
    const auto due = stream_of(self)->Due_in();
    if (!due) return py::none();
    return py::float_(std::chrono::duration<double>(*due).count());
}

/// [(number of the connection, Message, whether it is JSON)]
py::list take_unmatched(const record_stream& self) {
    py::list list;
    for (const auto& one : stream_of(self)->Take_unmatched()) {
        PyObject* const message = make_message({one.payload, one.received_ns, one.is_text});
        if (message == nullptr) throw py::error_already_set();
        list.append(py::make_tuple(one.connection, py::reinterpret_steal<py::object>(message),
                                   one.is_json));
    }
    return list;
}

py::tuple statistics(const record_stream& self) {
    const auto s = stream_of(self)->Statistics();
    return py::make_tuple(s.messages, s.rows, s.batches, s.unmatched, s.not_json, s.dropped,
                          s.unmatched_dropped);
}

}  // namespace

std::shared_ptr<record_stream_c> stream_of(const record_stream& object) {
    auto native = object.get();
    if (!native) {
        raise_wrong_process(nullptr);
        throw py::error_already_set();
    }
    return native;
}

void register_stream(py::module_& module) {
    py::class_<record_stream>(module, "RecordStream")
        .def(py::init(&make), py::arg("fields"), py::arg("batch_rows"), py::arg("max_delay"),
             py::arg("max_batches"), py::arg("overflow"), py::arg("lanes"),
             py::arg("kept_unmatched"), py::arg("takes_events"), py::arg("ready"),
             py::arg("number"))
        .def("take", &take)
        .def("take_within", &take_within)
        .def("arm",
             [](const record_stream& self, int change) {
                 return stream_of(self)->Arm(static_cast<record_stream_c::change_e>(change));
             })
        .def("ended", [](const record_stream& self) { return stream_of(self)->Ended(); })
        .def("is_over", [](const record_stream& self) { return stream_of(self)->Is_over(); })
        .def("due_in", &due_in)
        .def("wait_opened", &wait_opened)
        .def("are_opened", [](const record_stream& self) { return stream_of(self)->Are_opened(); })
        .def("take_unmatched", &take_unmatched)
        .def("statistics", &statistics);
}

}  // namespace wspool::python
