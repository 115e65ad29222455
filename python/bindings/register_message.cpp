#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "convert.hpp"
#include "json_value.hpp"
#include "message.hpp"
#include "registers.hpp"

namespace wspool::python {
namespace {

/// wspool.Message: immutable, with its payload in the same block. A plain C-API type, because one
/// is made for every message received.
struct message_object {
    PyObject_HEAD PyObject* text;  ///< str of the payload, made when asked for
    PyObject* data;                ///< bytes of the payload, made when asked for
    std::int64_t received_ns;
    Py_ssize_t size;
    std::uint8_t block;  ///< index into `blocks`, or that many for one of its own size
    bool is_text;
    char payload[1];  ///< and SIMDJSON_PADDING bytes behind it
};

constexpr std::size_t head_size = offsetof(message_object, payload);

/// Freed blocks of two sizes, kept for the next messages. GIL held.
struct block_list {
    std::size_t capacity;  ///< payload bytes
    int most;
    int count = 0;
    message_object* first = nullptr;  ///< linked through `text`
};
block_list blocks[] = {{512, 256}, {4096, 64}};
constexpr std::uint8_t own_size = std::size(blocks);

extern PyTypeObject message_type;

message_object* self_of(PyObject* self) { return reinterpret_cast<message_object*>(self); }

std::string_view payload_of(const message_object* message) {
    return {message->payload, static_cast<std::size_t>(message->size)};
}

message_object* allocate(std::size_t size) {
    std::uint8_t block = 0;
    while (block < own_size && size > blocks[block].capacity) ++block;
    message_object* message = nullptr;
    if (block < own_size && blocks[block].first != nullptr) {
        message = blocks[block].first;
        blocks[block].first = reinterpret_cast<message_object*>(message->text);
        --blocks[block].count;
    } else {
        const auto capacity = block < own_size ? blocks[block].capacity : size;
        message = static_cast<message_object*>(
            PyObject_Malloc(head_size + capacity + simdjson::SIMDJSON_PADDING));
        if (message == nullptr) {
            PyErr_NoMemory();
            return nullptr;
        }
    }
    PyObject_Init(reinterpret_cast<PyObject*>(message), &message_type);
    message->text = nullptr;
    message->data = nullptr;
    message->block = block;
    return message;
}

void deallocate(PyObject* object) {
    auto* const self = self_of(object);
    Py_XDECREF(self->text);
    Py_XDECREF(self->data);
    if (self->block < own_size && blocks[self->block].count < blocks[self->block].most) {
        auto& list = blocks[self->block];
        self->text = reinterpret_cast<PyObject*>(list.first);
        list.first = self;
        ++list.count;
    } else {
        PyObject_Free(self);
    }
}

PyObject* make(std::string_view payload, bool is_text, std::int64_t received_ns) {
    auto* const message = allocate(payload.size());
    if (message == nullptr) return nullptr;
    message->received_ns = received_ns;
    message->size = static_cast<Py_ssize_t>(payload.size());
    message->is_text = is_text;
    std::memcpy(message->payload, payload.data(), payload.size());
    return reinterpret_cast<PyObject*>(message);
}

PyObject* new_reference(PyObject* object) {
    Py_XINCREF(object);
    return object;
}

PyObject* get_data(PyObject* object, void* /*closure*/) {
    auto* const self = self_of(object);
    if (self->data == nullptr) self->data = PyBytes_FromStringAndSize(self->payload, self->size);
    return new_reference(self->data);
}

PyObject* get_text(PyObject* object, void* /*closure*/) {
    auto* const self = self_of(object);
    if (!self->is_text) {
        PyErr_SetString(PyExc_TypeError, "a binary message has no text; use Message.data");
        return nullptr;
    }
    if (self->text == nullptr)
        self->text = make_text(self->payload, static_cast<std::size_t>(self->size));
    return new_reference(self->text);
}

/// What the message equals: its str or its bytes.
PyObject* content(PyObject* object) {
    return self_of(object)->is_text ? get_text(object, nullptr) : get_data(object, nullptr);
}

PyObject* get_is_text(PyObject* object, void* /*closure*/) {
    return PyBool_FromLong(self_of(object)->is_text ? 1 : 0);
}

PyObject* get_received_ns(PyObject* object, void* /*closure*/) {
    return PyLong_FromLongLong(self_of(object)->received_ns);
}

Py_ssize_t get_length(PyObject* object) { return self_of(object)->size; }

int get_buffer(PyObject* object, Py_buffer* view, int flags) {
    auto* const self = self_of(object);
    return PyBuffer_FillInfo(view, object, self->payload, self->size, 1, flags);
}

json_source source_of(PyObject* object) { return {payload_of(self_of(object)), object, &content}; }

PyObject* get_json(PyObject* object, PyObject* /*unused*/) {
    return json_document(source_of(object));
}

PyObject* get_at(PyObject* object, PyObject* pointer) {
    return json_at(source_of(object), pointer);
}

PyObject* reduce(PyObject* object, PyObject* /*unused*/) {
    PyObject* const payload = content(object);
    if (payload == nullptr) return nullptr;
    return Py_BuildValue("O(NL)", Py_TYPE(object), payload,
                         static_cast<long long>(self_of(object)->received_ns));
}

PyObject* size_of(PyObject* object, PyObject* /*unused*/) {
    const auto* const self = self_of(object);
    const auto capacity = self->block < own_size ? blocks[self->block].capacity
                                                 : static_cast<std::size_t>(self->size);
    return PyLong_FromSize_t(head_size + capacity + simdjson::SIMDJSON_PADDING);
}

PyObject* represent(PyObject* object) {
    constexpr std::size_t most_shown = 60;
    const auto* const self = self_of(object);
    const bool cut = static_cast<std::size_t>(self->size) > most_shown;
    const auto shown = payload_of(self).substr(0, most_shown);
    // A code point that the cut goes through is left out.
    PyObject* const part =
        self->is_text
            ? PyUnicode_DecodeUTF8(shown.data(), static_cast<Py_ssize_t>(shown.size()), "ignore")
            : PyBytes_FromStringAndSize(shown.data(), static_cast<Py_ssize_t>(shown.size()));
    if (part == nullptr) return nullptr;
    PyObject* const result =
        PyUnicode_FromFormat("<wspool.Message %s %zd bytes: %R%s>",
                             self->is_text ? "text" : "binary", self->size, part, cut ? "..." : "");
    Py_DECREF(part);
    return result;
}

PyObject* to_str(PyObject* object) {
    return self_of(object)->is_text ? get_text(object, nullptr) : represent(object);
}

Py_hash_t hash(PyObject* object) {
    PyObject* const equal = content(object);
    if (equal == nullptr) return -1;
    const auto result = PyObject_Hash(equal);
    Py_DECREF(equal);
    return result;
}

/// 1 equal, 0 not, -1 an exception is set, -2 not comparable.
int equals(const message_object* self, PyObject* other) {
    const auto same = [self](const void* data, Py_ssize_t size) {
        return size == self->size &&
               std::memcmp(self->payload, data, static_cast<std::size_t>(size)) == 0;
    };
    if (Py_IS_TYPE(other, &message_type)) {
        const auto* const message = self_of(other);
        return self->is_text == message->is_text && same(message->payload, message->size);
    }
    if (PyUnicode_Check(other)) {
        if (!self->is_text) return 0;
        Py_ssize_t size = 0;
        const char* const text = PyUnicode_AsUTF8AndSize(other, &size);
        if (text != nullptr) return same(text, size);
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return -1;
        PyErr_Clear();  // a lone surrogate is in no text message
        return 0;
    }
    if (!PyObject_CheckBuffer(other)) return -2;
    if (self->is_text) return 0;
    Py_buffer view;
    if (PyObject_GetBuffer(other, &view, PyBUF_SIMPLE) != 0) {
        PyErr_Clear();  // not contiguous
        return -2;
    }
    const int result = same(view.buf, view.len);
    PyBuffer_Release(&view);
    return result;
}

PyObject* compare(PyObject* object, PyObject* other, int operation) {
    if (operation != Py_EQ && operation != Py_NE) Py_RETURN_NOTIMPLEMENTED;
    const int result = equals(self_of(object), other);
    if (result == -1) return nullptr;
    if (result == -2) Py_RETURN_NOTIMPLEMENTED;
    return PyBool_FromLong((result == 1) == (operation == Py_EQ) ? 1 : 0);
}

PyObject* construct(PyTypeObject* /*type*/, PyObject* args, PyObject* keywords) {
    static const char* names[] = {"payload", "received_ns", nullptr};
    PyObject* payload = nullptr;
    long long received_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|L:Message", const_cast<char**>(names),
                                     &payload, &received_ns))
        return nullptr;
    if (PyUnicode_Check(payload)) {
        Py_ssize_t size = 0;
        const char* const text = PyUnicode_AsUTF8AndSize(payload, &size);
        if (text == nullptr) return nullptr;
        return make({text, static_cast<std::size_t>(size)}, true, received_ns);
    }
    if (!PyObject_CheckBuffer(payload)) {
        return PyErr_Format(PyExc_TypeError, "payload must be str or bytes-like, not %.100s",
                            Py_TYPE(payload)->tp_name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) != 0) return nullptr;
    PyObject* const message =
        make({static_cast<const char*>(view.buf), static_cast<std::size_t>(view.len)}, false,
             received_ns);
    PyBuffer_Release(&view);
    return message;
}

PyGetSetDef attributes[] = {
    {"text", get_text, nullptr,
     "The payload as str, made at the first use. TypeError for a binary message.", nullptr},
    {"data", get_data, nullptr, "The payload as bytes, made at the first use.", nullptr},
    {"is_text", get_is_text, nullptr,
     "True for a text message, False for a binary one (RFC 6455 section 5.6).", nullptr},
    {"received_ns", get_received_ns, nullptr,
     "When its last bytes were read from the socket: Unix time in nanoseconds.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"json", get_json, METH_NOARGS,
     "json($self, /)\n--\n\n"
     "Return the whole document, exactly as json.loads() does, only faster.\n\n"
     "Raises:\n    json.JSONDecodeError: If the payload is not JSON.\n"
     "    UnicodeDecodeError: If a binary payload is not UTF-8, UTF-16 or UTF-32."},
    {"at", get_at, METH_O,
     "at($self, pointer, /)\n--\n\n"
     "Return the value at a JSON Pointer (RFC 6901), such as \"/data/p\".\n\n"
     "Nothing else is converted, and mistakes elsewhere in the text may go unnoticed.\n\n"
     "Raises:\n    KeyError: If there is no such value; holds the pointer.\n"
     "    ValueError: If pointer is not a JSON Pointer.\n"
     "    json.JSONDecodeError: If the payload is not JSON."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {"__sizeof__", size_of, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyBufferProcs buffer_methods = {get_buffer, nullptr};

PySequenceMethods sequence_methods = [] {
    PySequenceMethods sequence{};
    sequence.sq_length = get_length;
    return sequence;
}();

PyTypeObject message_type = [] {
    const PyVarObject heads[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
    PyTypeObject type{};
    type.ob_base = heads[0];
    type.tp_name = "wspool.Message";
    type.tp_doc =
        "Message(payload, received_ns=0)\n--\n\n"
        "One received message, text or binary (RFC 6455 section 5.6). Immutable.\n\n"
        "It holds a copy of its payload, and stays valid for as long as it is kept. A text\n"
        "message equals the str of its text and hashes like it, a binary one the bytes of its\n"
        "data. len() is the payload's size in bytes; memoryview() is a read-only view of it.\n"
        "Made by the library; the constructor is for tests of your callbacks.\n\n"
        "Thread safety: any thread.";
    type.tp_basicsize = static_cast<Py_ssize_t>(head_size);
    type.tp_flags = Py_TPFLAGS_DEFAULT;
    type.tp_new = construct;
    type.tp_dealloc = deallocate;
    type.tp_repr = represent;
    type.tp_str = to_str;
    type.tp_hash = hash;
    type.tp_richcompare = compare;
    type.tp_as_buffer = &buffer_methods;
    type.tp_as_sequence = &sequence_methods;
    type.tp_getset = attributes;
    type.tp_methods = methods;
    return type;
}();

}  // namespace

PyObject* make_message(const message_view_t& message) {
    return make(message.payload, message.is_text, message.received_ns);
}

void register_message(pybind11::module_& module) {
    if (PyType_Ready(&message_type) != 0) throw pybind11::error_already_set();
    module.add_object("Message", reinterpret_cast<PyObject*>(&message_type));
}

}  // namespace wspool::python
