/// Apache Arrow's C data interface and C stream interface, and their PyCapsule protocol.

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gil.hpp"
#include "lifecycle.hpp"
#include "records.hpp"

// The structures, as the interface's specification lays them out in memory.
extern "C" {
struct ArrowSchema {
    const char* format;
    const char* name;
    const char* metadata;
    std::int64_t flags;
    std::int64_t n_children;
    ArrowSchema** children;
    ArrowSchema* dictionary;
    void (*release)(ArrowSchema*);
    void* private_data;
};

struct ArrowArray {
    std::int64_t length;
    std::int64_t null_count;
    std::int64_t offset;
    std::int64_t n_buffers;
    std::int64_t n_children;
    const void** buffers;
    ArrowArray** children;
    ArrowArray* dictionary;
    void (*release)(ArrowArray*);
    void* private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(ArrowArrayStream*, ArrowSchema*);
    int (*get_next)(ArrowArrayStream*, ArrowArray*);
    const char* (*get_last_error)(ArrowArrayStream*);
    void (*release)(ArrowArrayStream*);
    void* private_data;
};
}

namespace py = pybind11;

namespace wspool::python {
namespace {

constexpr std::int64_t nullable = 2;

/// What a schema or an array points to; `T` is its structure. Children that a consumer has moved
/// away say so by a null release.
template <class T>
struct tree {
    std::vector<T> nodes;
    std::vector<T*> pointers;
    std::unique_ptr<T> dictionary;

    explicit tree(std::size_t children) : nodes(children), pointers(children) {
        for (std::size_t i = 0; i < children; ++i) pointers[i] = &nodes[i];
    }
    ~tree() {
        for (T& node : nodes) drop(node);
        if (dictionary) drop(*dictionary);
    }
    tree(const tree&) = delete;
    tree& operator=(const tree&) = delete;

    static void drop(T& node) {
        if (node.release != nullptr) node.release(&node);
    }
};

struct schema_owner : tree<ArrowSchema> {
    using tree::tree;
    std::string format;
    std::string name;
};

struct array_owner : tree<ArrowArray> {
    using tree::tree;
    std::array<const void*, 3> buffers{};
    batch_ptr batch;    // of the whole
    column_ptr column;  // of a column
};

template <class Owner, class T>
void release(T* of) {
    delete static_cast<Owner*>(of->private_data);
    of->release = nullptr;
}

void fill(ArrowSchema& out, std::unique_ptr<schema_owner> owner, std::int64_t flags) {
    out = {};
    out.format = owner->format.c_str();
    out.name = owner->name.c_str();
    out.flags = flags;
    out.n_children = static_cast<std::int64_t>(owner->nodes.size());
    out.children = owner->pointers.empty() ? nullptr : owner->pointers.data();
    out.dictionary = owner->dictionary.get();
    out.release = &release<schema_owner, ArrowSchema>;
    out.private_data = owner.release();
}

void export_type(const column_type_t& type, const std::string& name, ArrowSchema& out) {
    auto owner = std::make_unique<schema_owner>(type.kind == column_kind_e::LIST ? 1 : 0);
    owner->format = arrow_format(type);
    owner->name = name;
    if (type.kind == column_kind_e::LIST) export_type(*type.item, "item", owner->nodes[0]);
    if (type.kind == column_kind_e::CATEGORY) {
        owner->dictionary = std::make_unique<ArrowSchema>();
        column_type_t text;
        text.kind = column_kind_e::STRING;
        export_type(text, "", *owner->dictionary);
    }
    fill(out, std::move(owner), nullable);
}

void export_schema(const field_set_c& fields, std::size_t number, ArrowSchema& out) {
    const auto& columns = fields.Fields()[number].columns;
    auto owner = std::make_unique<schema_owner>(columns.size() + 2);
    owner->format = "+s";
    for (std::size_t i = 0; i < columns.size(); ++i)
        export_type(columns[i].type, columns[i].name, owner->nodes[i]);
    column_type_t received;
    received.kind = column_kind_e::TIMESTAMP;
    export_type(received, "received", owner->nodes[columns.size()]);
    column_type_t connection;
    connection.kind = column_kind_e::CATEGORY;
    export_type(connection, "connection", owner->nodes[columns.size() + 1]);
    fill(out, std::move(owner), 0);
}

void fill(ArrowArray& out, std::unique_ptr<array_owner> owner, std::size_t buffers,
          std::size_t length, std::size_t nulls) {
    out = {};
    out.length = static_cast<std::int64_t>(length);
    out.null_count = static_cast<std::int64_t>(nulls);
    out.n_buffers = static_cast<std::int64_t>(buffers);
    out.buffers = owner->buffers.data();
    out.n_children = static_cast<std::int64_t>(owner->nodes.size());
    out.children = owner->pointers.empty() ? nullptr : owner->pointers.data();
    out.dictionary = owner->dictionary.get();
    out.release = &release<array_owner, ArrowArray>;
    out.private_data = owner.release();
}

/// Never null, because not every consumer takes that for nothing.
const void* memory_of(const byte_store_c& store) {
    alignas(16) static const char nothing[16] = {};
    return store.Data() == nullptr ? nothing : store.Data();
}

void export_column(const column_ptr& column, ArrowArray& out) {
    const auto kind = column->type.kind;
    auto owner = std::make_unique<array_owner>(kind == column_kind_e::LIST ? 1 : 0);
    owner->column = column;
    owner->buffers[0] = column->validity.Size() == 0 ? nullptr : column->validity.Data();
    std::size_t buffers = 2;
    if (kind == column_kind_e::LIST) {
        owner->buffers[1] = memory_of(column->offsets);
        export_column(column->items, owner->nodes[0]);
    } else if (kind == column_kind_e::STRING || kind == column_kind_e::JSON) {
        owner->buffers[1] = memory_of(column->offsets);
        owner->buffers[2] = memory_of(column->values);
        buffers = 3;
    } else {
        owner->buffers[1] = memory_of(column->values);
    }
    if (kind == column_kind_e::CATEGORY) {
        owner->dictionary = std::make_unique<ArrowArray>();
        export_column(column->dictionary, *owner->dictionary);
    }
    fill(out, std::move(owner), buffers, column->length, column->null_count);
}

void export_batch(const batch_ptr& batch, ArrowArray& out) {
    auto owner = std::make_unique<array_owner>(batch->columns.size());
    owner->batch = batch;
    for (std::size_t i = 0; i < batch->columns.size(); ++i)
        export_column(batch->columns[i], owner->nodes[i]);
    fill(out, std::move(owner), 1, batch->rows, 0);
}

template <class T>
py::capsule make_capsule(std::unique_ptr<T> made, const char* name) {
    PyObject* const capsule = PyCapsule_New(made.get(), name, [](PyObject* self) {
        auto* const held = static_cast<T*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self)));
        if (held->release != nullptr) held->release(held);
        delete held;
    });
    if (capsule == nullptr) throw py::error_already_set();
    made.release();
    return py::reinterpret_steal<py::capsule>(capsule);
}

struct stream_owner {
    std::shared_ptr<const field_set_c> fields;
    std::size_t number;
    PyObject* next;  // owned
    std::string error;
};

/// The text of the exception that is set, which is cleared. KeyboardInterrupt, for one, has none.
std::string describe_exception() {
    py::error_already_set raised;
    const auto text = py::str(raised.value()).cast<std::string>();
    return text.empty() ? py::repr(raised.value()).cast<std::string>() : text;
}

/// On whatever thread, with or without the GIL.
int stream_next(ArrowArrayStream* stream, ArrowArray* out) {
    auto* const owner = static_cast<stream_owner*>(stream->private_data);
    *out = {};
    if (!python_is_usable()) return ECANCELED;
    const PyGILState_STATE state = PyGILState_Ensure();
    int result = 0;
    PyObject* const batch = PyObject_CallNoArgs(owner->next);
    if (batch == nullptr) {
        result = EIO;
        owner->error = describe_exception();
    } else if (batch != Py_None) {
        try {
            export_batch(py::handle(batch).cast<std::shared_ptr<record_batch_t>>(), *out);
        } catch (const std::exception& exception) {
            result = EINVAL;
            owner->error = exception.what();
        }
    }
    Py_XDECREF(batch);
    PyGILState_Release(state);
    return result;
}

void release_stream(ArrowArrayStream* stream) {
    auto* const owner = static_cast<stream_owner*>(stream->private_data);
    stream->release = nullptr;
    if (python_is_usable()) {
        const PyGILState_STATE state = PyGILState_Ensure();
        Py_CLEAR(owner->next);
        PyGILState_Release(state);
    }
    delete owner;
}

}  // namespace

std::string arrow_format(const column_type_t& type) {
    switch (type.kind) {
        case column_kind_e::INT64:
            return "l";
        case column_kind_e::UINT64:
            return "L";
        case column_kind_e::FLOAT64:
            return "g";
        case column_kind_e::BOOL:
            return "b";
        case column_kind_e::STRING:
        case column_kind_e::JSON:
            return "u";
        case column_kind_e::CATEGORY:
            return "i";  // of the numbers
        case column_kind_e::DECIMAL128:
            return "d:" + std::to_string(type.precision) + "," + std::to_string(type.scale);
        case column_kind_e::TIMESTAMP:
            switch (type.unit) {
                case time_unit_e::SECONDS:
                    return "tss:";
                case time_unit_e::MILLISECONDS:
                    return "tsm:";
                case time_unit_e::MICROSECONDS:
                    return "tsu:";
                case time_unit_e::NANOSECONDS:
                    return "tsn:";
            }
            break;
        case column_kind_e::LIST:
            return "+l";
    }
    return "n";
}

py::capsule arrow_schema(const field_set_c& fields, std::size_t number) {
    auto made = std::make_unique<ArrowSchema>();
    export_schema(fields, number, *made);
    return make_capsule(std::move(made), "arrow_schema");
}

py::capsule arrow_array(const batch_ptr& batch) {
    auto made = std::make_unique<ArrowArray>();
    export_batch(batch, *made);
    return make_capsule(std::move(made), "arrow_array");
}

py::capsule arrow_stream(std::shared_ptr<const field_set_c> fields, std::size_t number,
                         py::object next) {
    auto made = std::make_unique<ArrowArrayStream>();
    auto owner = std::make_unique<stream_owner>();
    owner->fields = std::move(fields);
    owner->number = number;
    owner->next = next.release().ptr();
    made->get_schema = [](ArrowArrayStream* stream, ArrowSchema* out) {
        const auto* const of = static_cast<stream_owner*>(stream->private_data);
        export_schema(*of->fields, of->number, *out);
        return 0;
    };
    made->get_next = &stream_next;
    made->get_last_error = [](ArrowArrayStream* stream) -> const char* {
        const auto* const of = static_cast<stream_owner*>(stream->private_data);
        return of->error.empty() ? nullptr : of->error.c_str();
    };
    made->release = &release_stream;
    made->private_data = owner.release();
    return make_capsule(std::move(made), "arrow_array_stream");
}

}  // namespace wspool::python
