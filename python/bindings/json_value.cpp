#include "json_value.hpp"

#include <simdjson.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "convert.hpp"
#include "gil.hpp"
#include "wspool/json_finder.hpp"

namespace wspool::python {
namespace {

namespace dom = simdjson::dom;

/// Deeper documents are left to json.loads, which knows the interpreter's recursion limit.
constexpr std::size_t max_depth = 256;
/// Parsing a larger document lets other Python threads run meanwhile.
constexpr std::size_t without_gil_size = 64 * 1024;
/// What a parser that is kept may hold on to.
constexpr std::size_t max_kept_capacity = 1024 * 1024;

/// A pointer as it was given, and what looks it up.
struct path_finder {
    std::string text;
    json_pointer_c pointer;
    std::unique_ptr<json_finder_c> finder;
};

struct parsers {
    dom::parser document;
    /// The pointers that were asked for last: programs ask for the same few again and again.
    std::vector<path_finder> finders;
};

/// Lends parsers: making Python objects may run the garbage collector, and with it any Python
/// code, which may come back here while the outer call still walks over its parser's tape.
/// GIL held, except while `get()` is in use.
class borrowed_parsers {
public:
    borrowed_parsers() {
        if (idle().empty()) {
            parsers_ = std::make_unique<parsers>();
        } else {
            parsers_ = std::move(idle().back());
            idle().pop_back();
        }
    }
    ~borrowed_parsers() {
        constexpr std::size_t most_idle = 4;
        if (idle().size() < most_idle && parsers_->document.capacity() <= max_kept_capacity)
            idle().push_back(std::move(parsers_));
    }
    borrowed_parsers(const borrowed_parsers&) = delete;
    borrowed_parsers& operator=(const borrowed_parsers&) = delete;

    parsers& get() noexcept { return *parsers_; }

private:
    static std::vector<std::unique_ptr<parsers>>& idle() {
        static auto* const list = new std::vector<std::unique_ptr<parsers>>;
        return *list;
    }
    std::unique_ptr<parsers> parsers_;
};

/// The names of members repeat from message to message: keeps the latest str at each hash.
PyObject* make_name(std::string_view name) {
    constexpr std::size_t slots = 2048;
    constexpr std::size_t longest = 32;
    static PyObject* cache[slots];
    if (name.empty() || name.size() > longest) return make_text({name.data(), name.size()});
    std::uint32_t hash = 2166136261U;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    PyObject*& slot = cache[(hash ^ (hash >> 15U)) % slots];
    if (slot != nullptr) {
        Py_ssize_t size = 0;
        const char* const kept = PyUnicode_AsUTF8AndSize(slot, &size);
        if (kept != nullptr && std::string_view(kept, static_cast<std::size_t>(size)) == name) {
            Py_INCREF(slot);
            return slot;
        }
    }
    PyObject* const text = make_text({name.data(), name.size()});
    if (text == nullptr) return nullptr;
    // Hashed and encoded once, as long as it is kept.
    if (PyObject_Hash(text) == -1 || PyUnicode_AsUTF8(text) == nullptr) {
        Py_DECREF(text);
        return nullptr;
    }
    Py_INCREF(text);
    PyObject* const old = slot;
    slot = text;
    Py_XDECREF(old);
    return text;
}

PyObject* convert(dom::element element);

PyObject* convert_array(dom::array array) {
    PyObject* const list = PyList_New(0);
    if (list == nullptr) return nullptr;
    for (const auto element : array) {
        PyObject* const value = convert(element);
        const bool failed = value == nullptr || PyList_Append(list, value) != 0;
        Py_XDECREF(value);
        if (failed) {
            Py_DECREF(list);
            return nullptr;
        }
    }
    return list;
}

PyObject* convert_object(dom::object object) {
    PyObject* const dict = PyDict_New();
    if (dict == nullptr) return nullptr;
    for (const auto field : object) {
        PyObject* const name = make_name(field.key);
        PyObject* const value = name == nullptr ? nullptr : convert(field.value);
        const bool failed = value == nullptr || PyDict_SetItem(dict, name, value) != 0;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (failed) {
            Py_DECREF(dict);
            return nullptr;
        }
    }
    return dict;
}

PyObject* convert(dom::element element) {
    switch (element.type()) {
        case dom::element_type::ARRAY:
            return convert_array(dom::array(element));
        case dom::element_type::OBJECT:
            return convert_object(dom::object(element));
        case dom::element_type::INT64:
            return PyLong_FromLongLong(std::int64_t(element));
        case dom::element_type::UINT64:
            return PyLong_FromUnsignedLongLong(std::uint64_t(element));
        case dom::element_type::DOUBLE:
            return PyFloat_FromDouble(double(element));
        case dom::element_type::STRING: {
            const std::string_view text(element);
            return make_text({text.data(), text.size()});
        }
        case dom::element_type::BOOL:
            return PyBool_FromLong(bool(element) ? 1 : 0);
        case dom::element_type::NULL_VALUE:
            Py_RETURN_NONE;
    }
    PyErr_SetString(PyExc_SystemError, "unknown JSON type");
    return nullptr;
}

/// Parses where json.loads would agree. False if it must be asked.
bool parse(dom::parser& parser, std::string_view payload, dom::element& element) {
    // json.loads refuses a byte order mark in a str and skips it in bytes; simdjson may do either.
    if (payload.empty() || payload.front() == '\xEF') return false;
    const auto work = [&]() -> bool {
        if (parser.capacity() < payload.size() || parser.max_depth() != max_depth) {
            if (parser.allocate(payload.size(), max_depth)) return false;
        }
        return !parser.parse(payload.data(), payload.size(), false).get(element);
    };
    return payload.size() < without_gil_size ? work() : without_gil(work);
}

PyObject* loads(const json_source& source) {
    static PyObject* function = nullptr;
    if (function == nullptr) {
        PyObject* const module = PyImport_ImportModule("json");
        if (module == nullptr) return nullptr;
        function = PyObject_GetAttrString(module, "loads");
        Py_DECREF(module);
        if (function == nullptr) return nullptr;
    }
    PyObject* const original = source.original(source.owner);
    if (original == nullptr) return nullptr;
    PyObject* const value =
        guarded([&] { return PyObject_CallFunctionObjArgs(function, original, nullptr); });
    Py_DECREF(original);
    return value;
}

/// Borrowed reference; null without an exception if there is no such value.
PyObject* member(PyObject* value, const json_pointer_c::step_t& step) {
    if (PyDict_CheckExact(value)) {
        PyObject* const name = make_name(step.name);
        if (name == nullptr) return nullptr;
        PyObject* const found = PyDict_GetItemWithError(value, name);
        Py_DECREF(name);
        return found;
    }
    if (PyList_CheckExact(value) && step.index &&
        *step.index < static_cast<std::size_t>(PyList_GET_SIZE(value)))
        return PyList_GET_ITEM(value, static_cast<Py_ssize_t>(*step.index));
    return nullptr;
}

/// The slow way for what simdjson cannot judge: all of json.loads, and a walk over its result.
PyObject* loads_at(const json_source& source, const json_pointer_c& path, PyObject* pointer) {
    PyObject* const document = loads(source);
    if (document == nullptr) return nullptr;
    PyObject* value = document;
    for (const auto& step : path.Steps()) {
        value = member(value, step);
        if (value == nullptr) break;
    }
    if (value != nullptr) {
        Py_INCREF(value);
    } else if (PyErr_Occurred() == nullptr) {
        PyErr_SetObject(PyExc_KeyError, pointer);
    }
    Py_DECREF(document);
    return value;
}

/// Null if `text` is not a pointer.
path_finder* finder_for(std::vector<path_finder>& finders, std::string_view text) {
    constexpr std::size_t most = 16;
    for (auto& known : finders)
        if (known.text == text) return &known;
    auto pointer = json_pointer_c::Parse(text);
    if (!pointer) return nullptr;
    if (finders.size() == most) finders.erase(finders.begin());
    auto finder = std::make_unique<json_finder_c>(*pointer);
    finders.push_back({std::string(text), std::move(*pointer), std::move(finder)});
    return &finders.back();
}

/// A string without escapes is its own value.
bool is_plain_string(std::string_view value) {
    if (value.size() < 2 || value.front() != '"' || value.back() != '"') return false;
    for (const char c : value.substr(1, value.size() - 2))
        if (c == '\\' || c == '"' || static_cast<unsigned char>(c) < ' ') return false;
    return true;
}

}  // namespace

PyObject* json_document(const json_source& source) {
    {
        borrowed_parsers borrowed;
        dom::element element;
        if (parse(borrowed.get().document, source.payload, element)) return convert(element);
    }
    return loads(source);
}

PyObject* json_at(const json_source& source, PyObject* pointer) {
    if (!PyUnicode_Check(pointer)) {
        PyErr_Format(PyExc_TypeError, "pointer must be a str, not %.100s",
                     Py_TYPE(pointer)->tp_name);
        return nullptr;
    }
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(pointer, &size);
    if (text == nullptr) return nullptr;
    borrowed_parsers borrowed;
    path_finder* const path =
        finder_for(borrowed.get().finders, {text, static_cast<std::size_t>(size)});
    if (path == nullptr) {
        PyErr_Format(PyExc_ValueError, "not a JSON Pointer (RFC 6901): %R", pointer);
        return nullptr;
    }
    if (path->pointer.Steps().empty()) return json_document(source);
    std::string_view value;
    switch (path->finder->Find(source.payload, false, value)) {
        case json_finder_c::found_e::FOUND: {
            if (is_plain_string(value)) return make_text({value.data() + 1, value.size() - 2});
            dom::element element;
            if (parse(borrowed.get().document, value, element)) return convert(element);
            break;
        }
        case json_finder_c::found_e::MISSING:
            PyErr_SetObject(PyExc_KeyError, pointer);
            return nullptr;
        case json_finder_c::found_e::NOT_JSON:  // or something that only json.loads knows
            break;
    }
    return loads_at(source, path->pointer, pointer);
}

}  // namespace wspool::python
