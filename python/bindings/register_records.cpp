#include <pybind11/pybind11.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "convert.hpp"
#include "errors.hpp"
#include "payload_view.hpp"
#include "records.hpp"
#include "registers.hpp"
#include "wspool/record_picker.hpp"

namespace py = pybind11;

namespace wspool::python {
namespace {

fields_t fields_from(const py::tuple& given) {
    fields_t one;
    one.name = given[0].cast<std::string>();
    for (const auto& entry : given[1]) {
        const auto column = entry.cast<py::tuple>();
        column_t made;
        made.name = column[0].cast<std::string>();
        made.pointer = column[1].cast<std::string>();
        const auto text = column[2].cast<std::string>();
        const auto type = column_type_t::Parse(text);
        if (!type) throw py::value_error("column '" + made.name + "': unknown type '" + text + "'");
        made.type = *type;
        one.columns.push_back(std::move(made));
    }
    one.where = conditions_from(given[2]);
    if (!given[3].is_none()) one.rows = given[3].cast<std::string>();
    return one;
}

/// Memory of a column, for NumPy. It keeps the column alive.
class buffer {
public:
    buffer(column_ptr owner, const byte_store_c& store) : owner_(std::move(owner)), store_(store) {}

    [[nodiscard]] py::buffer_info info() const {
        static char nothing = 0;
        // Read-only: it may be shared with Arrow's consumers.
        auto* const data = store_.Size() == 0 ? &nothing : const_cast<char*>(store_.Data());
        return {data,
                1,
                py::format_descriptor<unsigned char>::format(),
                1,
                {static_cast<py::ssize_t>(store_.Size())},
                {1},
                true};
    }

private:
    column_ptr owner_;
    const byte_store_c& store_;
};

py::object buffer_of(const column_ptr& column, const byte_store_c& store) {
    if (store.Size() == 0) return py::none();
    return py::cast(buffer(column, store));
}

/// A column as Python sees it.
class column_view {
public:
    explicit column_view(column_ptr column) : column_(std::move(column)) {}

    [[nodiscard]] std::size_t length() const { return column_->length; }
    [[nodiscard]] std::size_t null_count() const { return column_->null_count; }
    [[nodiscard]] std::string format() const { return arrow_format(column_->type); }
    [[nodiscard]] py::object validity() const { return buffer_of(column_, column_->validity); }
    [[nodiscard]] py::object values() const { return buffer_of(column_, column_->values); }
    [[nodiscard]] py::object offsets() const { return buffer_of(column_, column_->offsets); }
    [[nodiscard]] py::object child() const {
        const auto& inner = column_->items ? column_->items : column_->dictionary;
        return inner ? py::cast(column_view(inner)) : py::none();
    }
    [[nodiscard]] py::list to_list(std::size_t most) const {
        return column_to_list(*column_, most);
    }

private:
    column_ptr column_;
};

py::list mistakes(const record_batch_t& batch) {
    py::list list;
    for (const auto& one : batch.mistakes)
        list.append(py::make_tuple(one.count, py::bytes(one.first)));
    return list;
}

/// What `wspool.pick` works with: an own set of columns, and messages that are at hand.
class picker {
public:
    explicit picker(std::shared_ptr<const field_set_c> fields)
        : fields_(std::move(fields)), picker_(fields_) {}

    void set_connection(const std::string& label) { connection_ = picker_.Add_connection(label); }

    void pick(const py::object& data, std::int64_t received_ns) {
        payload_view payload;
        if (!payload.take(data.ptr(), "data")) throw py::error_already_set();
        message_view_t message;
        message.payload = payload.view();
        message.received_ns = received_ns;
        ++messages_;
        switch (picker_.Pick(message, connection_)) {
            case record_picker_c::outcome_e::MATCHED:
                break;
            case record_picker_c::outcome_e::UNMATCHED:
                ++unmatched_;
                break;
            case record_picker_c::outcome_e::NOT_JSON:
                ++not_json_;
                break;
        }
    }

    [[nodiscard]] py::list finish() {
        py::list batches;
        for (std::size_t i = 0; i < fields_->Fields().size(); ++i)
            batches.append(std::const_pointer_cast<record_batch_t>(picker_.Finish(i)));
        return batches;
    }
    [[nodiscard]] py::tuple counts() const {
        return py::make_tuple(messages_, unmatched_, not_json_);
    }

private:
    const std::shared_ptr<const field_set_c> fields_;
    record_picker_c picker_;
    std::uint32_t connection_ = record_picker_c::no_connection;
    std::uint64_t messages_ = 0;
    std::uint64_t unmatched_ = 0;
    std::uint64_t not_json_ = 0;
};

}  // namespace

std::shared_ptr<const field_set_c> compile_fields(const py::sequence& given) {
    std::vector<fields_t> fields;
    for (const auto& one : given) fields.push_back(fields_from(one.cast<py::tuple>()));
    error_ptr error;
    auto compiled = field_set_c::Compile(std::move(fields), error);
    if (error) throw py::value_error(error->Error_msg());
    return compiled;
}

PyObject* make_batch_object(const batch_ptr& batch) noexcept {
    try {
        return py::cast(std::const_pointer_cast<record_batch_t>(batch)).release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const std::exception& exception) {
        PyErr_SetString(PyExc_RuntimeError, exception.what());
    }
    return nullptr;
}

void register_records(py::module_& module) {
    using batch = record_batch_t;
    // A shared_ptr<const T> is held as shared_ptr<T>: nothing here changes one.
    py::class_<field_set_c, std::shared_ptr<field_set_c>>(module, "FieldSet")
        .def(py::init([](const py::sequence& given) {
            return std::const_pointer_cast<field_set_c>(compile_fields(given));
        }))
        .def("__len__", [](const field_set_c& self) { return self.Fields().size(); })
        .def("arrow_schema", &arrow_schema, py::arg("number"))
        .def("arrow_stream",
             [](std::shared_ptr<field_set_c> self, std::size_t number, py::object next) {
                 return arrow_stream(std::move(self), number, std::move(next));
             });
    py::class_<buffer>(module, "ColumnBuffer", py::buffer_protocol()).def_buffer(&buffer::info);
    py::class_<column_view>(module, "Column")
        .def("__len__", &column_view::length)
        .def_property_readonly("null_count", &column_view::null_count)
        .def_property_readonly("format", &column_view::format)
        .def_property_readonly("validity", &column_view::validity)
        .def_property_readonly("values", &column_view::values)
        .def_property_readonly("offsets", &column_view::offsets)
        .def_property_readonly("child", &column_view::child)
        .def("to_list", &column_view::to_list, py::arg("most") = static_cast<std::size_t>(-1));
    py::class_<batch, std::shared_ptr<batch>>(module, "RecordBatch")
        .def_property_readonly("rows", [](const batch& self) { return self.rows; })
        .def_property_readonly("number", [](const batch& self) { return self.number; })
        .def_property_readonly(
            "fields",
            [](const batch& self) { return std::const_pointer_cast<field_set_c>(self.fields); })
        .def_property_readonly("mistakes", &mistakes)
        .def_property_readonly("generations",
                               [](const batch& self) {
                                   py::dict made;
                                   for (const auto& [label, generation] : self.generations)
                                       made[py::str(label)] = generation;
                                   return made;
                               })
        .def_property_readonly(
            "events",
            [](const batch& self) {
                py::list made;
                for (const auto& [label, event] : self.events) {
                    PyObject* const object = make_event(event);
                    if (object == nullptr) throw py::error_already_set();
                    made.append(py::make_tuple(label, py::reinterpret_steal<py::object>(object)));
                }
                return made;
            })
        .def("column",
             [](const batch& self, std::size_t i) { return column_view(self.columns.at(i)); })
        .def("arrow_schema",
             [](const batch& self) { return arrow_schema(*self.fields, self.number); })
        .def("arrow_array", [](std::shared_ptr<batch> self) { return arrow_array(self); });
    py::class_<picker>(module, "RecordPicker")
        .def(py::init<std::shared_ptr<field_set_c>>())
        .def("set_connection", &picker::set_connection)
        .def("pick", &picker::pick)
        .def("finish", &picker::finish)
        .def_property_readonly("counts", &picker::counts);
}

}  // namespace wspool::python
