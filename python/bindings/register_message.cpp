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

/// wspool.Message: immutable. A plain C-API type, because one is lent for every message received.
///
/// Its payload is a copy of its own, or for the time of a callback the library's memory: then
/// whatever may outlive the callback without a reference to the message must `own` first.
struct message_object {
    PyObject_HEAD PyObject* text;  ///< str of the payload, made when asked for
    PyObject* data;                ///< bytes of the payload, made when asked for
    std::int64_t received_ns;
    const char* payload;
    Py_ssize_t size;
    char* own;  ///< null: the payload is lent. SIMDJSON_PADDING bytes follow it
    bool is_text;
    bool is_ascii;  ///< false says nothing
    std::uint32_t generation;
};

extern PyTypeObject message_type;

message_object* self_of(PyObject* self) { return reinterpret_cast<message_object*>(self); }

std::string_view payload_of(const message_object* message) {
    return {message->payload, static_cast<std::size_t>(message->size)};
}

void set_view(message_object* message, const message_view_t& view) {
    message->received_ns = view.received_ns;
    message->payload = view.payload.data();
    message->size = static_cast<Py_ssize_t>(view.payload.size());
    message->is_text = view.is_text;
    message->is_ascii = view.is_ascii;
    message->generation = view.generation;
}

/// Null with an exception set.
message_object* make_lent(const message_view_t& view) {
    auto* const message = PyObject_New(message_object, &message_type);
    if (message == nullptr) return nullptr;
    message->text = nullptr;
    message->data = nullptr;
    message->own = nullptr;
    set_view(message, view);
    return message;
}

/// Copies a payload that is lent; false with an exception set.
bool own(message_object* message) {
    if (message->own != nullptr) return true;
    const auto size = static_cast<std::size_t>(message->size);
    auto* const copy = static_cast<char*>(PyMem_Malloc(size + simdjson::SIMDJSON_PADDING));
    if (copy == nullptr) {
        PyErr_NoMemory();
        return false;
    }
    if (size != 0) std::memcpy(copy, message->payload, size);
    message->payload = message->own = copy;
    return true;
}

void deallocate(PyObject* object) {
    auto* const self = self_of(object);
    Py_XDECREF(self->text);
    Py_XDECREF(self->data);
    PyMem_Free(self->own);
    PyObject_Free(self);
}

PyObject* make(const message_view_t& view) {
    auto* message = make_lent(view);
    if (message != nullptr && !own(message)) Py_CLEAR(message);
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
        self->text =
            self->is_ascii ? make_ascii_text(payload_of(self)) : make_text(payload_of(self));
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

PyObject* get_generation(PyObject* object, void* /*closure*/) {
    return PyLong_FromUnsignedLong(self_of(object)->generation);
}

Py_ssize_t get_length(PyObject* object) { return self_of(object)->size; }

int get_buffer(PyObject* object, Py_buffer* view, int flags) {
    auto* const self = self_of(object);
    if (!own(self)) {
        view->obj = nullptr;
        return -1;
    }
    return PyBuffer_FillInfo(view, object, self->own, self->size, 1, flags);
}

json_source source_of(PyObject* object) { return {payload_of(self_of(object)), object, &content}; }

// A payload that is lent has no padding.

PyObject* get_json(PyObject* object, PyObject* /*unused*/) {
    return own(self_of(object)) ? json_document(source_of(object)) : nullptr;
}

PyObject* get_at(PyObject* object, PyObject* pointer) {
    return own(self_of(object)) ? json_at(source_of(object), pointer) : nullptr;
}

PyObject* reduce(PyObject* object, PyObject* /*unused*/) {
    PyObject* const payload = content(object);
    if (payload == nullptr) return nullptr;
    return Py_BuildValue("O(NL)", Py_TYPE(object), payload,
                         static_cast<long long>(self_of(object)->received_ns));
}

PyObject* size_of(PyObject* object, PyObject* /*unused*/) {
    const auto* const self = self_of(object);
    const std::size_t payload =
        self->own == nullptr ? 0
                             : static_cast<std::size_t>(self->size) + simdjson::SIMDJSON_PADDING;
    return PyLong_FromSize_t(sizeof(message_object) + payload);
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
        return make({{text, static_cast<std::size_t>(size)}, received_ns, true});
    }
    if (!PyObject_CheckBuffer(payload)) {
        return PyErr_Format(PyExc_TypeError, "payload must be str or bytes-like, not %.100s",
                            Py_TYPE(payload)->tp_name);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) != 0) return nullptr;
    PyObject* const message = make(
        {{static_cast<const char*>(view.buf), static_cast<std::size_t>(view.len)}, received_ns});
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
    {"generation", get_generation, nullptr,
     "Which connection of a feed it came from: 1 for the first, 2 after a reconnection.", nullptr},
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
     "Nothing else is converted; the whole text is checked.\n\n"
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
        "It stays valid for as long as it is kept: its payload is copied once, if it is kept\n"
        "beyond its callback. A text\n"
        "message equals the str of its text and hashes like it, a binary one the bytes of its\n"
        "data. len() is the payload's size in bytes; memoryview() is a read-only view of it.\n"
        "Made by the library; the constructor is for tests of your callbacks.\n\n"
        "Thread safety: any thread.";
    type.tp_basicsize = sizeof(message_object);
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

PyObject* make_message(const message_view_t& view) { return make(view); }

PyObject* message_lender::lend(const message_view_t& view) {
    if (message_ == nullptr) {
        message_ = reinterpret_cast<PyObject*>(make_lent(view));
    } else {
        set_view(self_of(message_), view);
    }
    return message_;
}

bool message_lender::take_back() {
    auto* const message = self_of(message_);
    if (Py_REFCNT(message_) == 1 && message->own == nullptr) {
        Py_CLEAR(message->text);
        Py_CLEAR(message->data);
        return true;
    }
    const bool owned = Py_REFCNT(message_) == 1 || own(message);
    if (!owned) message->size = 0;  // better empty than somebody else's bytes
    Py_CLEAR(message_);
    return owned;
}

void register_message(pybind11::module_& module) {
    if (PyType_Ready(&message_type) != 0) throw pybind11::error_already_set();
    module.add_object("Message", reinterpret_cast<PyObject*>(&message_type));
}

}  // namespace wspool::python
