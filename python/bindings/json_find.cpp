#include "json_find.hpp"

#include <cstring>

namespace wspool::python {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

class walker {
public:
    explicit walker(const json_pointer& pointer) : steps_(pointer.steps()) {}

    error_code walk(ondemand::value value, std::size_t depth) {
        if (depth == steps_.size()) return take(value);
        ondemand::json_type type{};
        if (auto error = value.type().get(type)) return error;
        if (type == ondemand::json_type::object) {
            ondemand::object object;
            if (auto error = value.get_object().get(object)) return error;
            return walk_object(object, depth);
        }
        if (type == ondemand::json_type::array) {
            ondemand::array array;
            if (auto error = value.get_array().get(array)) return error;
            return walk_array(array, depth);
        }
        found_ = false;
        return simdjson::SUCCESS;
    }

    error_code walk_object(ondemand::object& object, std::size_t depth) {
        found_ = false;
        // To the end even after a match: json.loads lets the last of equal names win.
        for (auto item : object) {
            ondemand::field field;
            if (auto error = std::move(item).get(field)) return error;
            bool same = false;
            if (auto error = matches(field, steps_[depth].name, same)) return error;
            if (!same) continue;
            if (auto error = walk(field.value(), depth + 1)) return error;
        }
        return simdjson::SUCCESS;
    }

    error_code walk_array(ondemand::array& array, std::size_t depth) {
        found_ = false;
        const auto wanted = steps_[depth].index;
        if (!wanted) return simdjson::SUCCESS;
        std::size_t index = 0;
        for (auto item : array) {
            ondemand::value value;
            if (auto error = std::move(item).get(value)) return error;
            if (index++ == *wanted) return walk(value, depth + 1);
        }
        return simdjson::SUCCESS;
    }

    [[nodiscard]] bool found() const noexcept { return found_; }
    [[nodiscard]] std::string_view value() const noexcept { return value_; }

private:
    error_code take(ondemand::value value) {
        ondemand::json_type type{};
        if (auto error = value.type().get(type)) return error;
        if (type == ondemand::json_type::object) {
            ondemand::object object;
            if (auto error = value.get_object().get(object)) return error;
            if (auto error = object.raw_json().get(value_)) return error;
        } else if (type == ondemand::json_type::array) {
            ondemand::array array;
            if (auto error = value.get_array().get(array)) return error;
            if (auto error = array.raw_json().get(value_)) return error;
        } else {
            value_ = value.raw_json_token();
        }
        found_ = true;
        return simdjson::SUCCESS;
    }

    /// Compares names where they stand; only one with a backslash in it is unescaped first.
    static error_code matches(ondemand::field& field, const std::string& wanted, bool& same) {
        const char* name = field.key().raw();
        const auto* end = static_cast<const char*>(nullptr);
        for (end = name; *end != '"'; ++end) {
            if (*end == '\\') {
                std::string_view unescaped;
                if (auto error = field.unescaped_key().get(unescaped)) return error;
                same = unescaped == wanted;
                return simdjson::SUCCESS;
            }
        }
        same = std::string_view(name, static_cast<std::size_t>(end - name)) == wanted;
        return simdjson::SUCCESS;
    }

    const std::vector<json_pointer::step>& steps_;
    bool found_ = false;
    std::string_view value_;
};

/// True if nothing follows the object or array that has been walked to its end.
bool at_end(ondemand::document& document) {
    return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

}  // namespace

found_e json_find(ondemand::parser& parser, std::string_view payload, const json_pointer& pointer,
                  std::string_view& value) {
    ondemand::document document;
    const simdjson::padded_string_view padded(payload.data(), payload.size(),
                                              payload.size() + simdjson::SIMDJSON_PADDING);
    if (parser.iterate(padded).get(document)) return found_e::UNSURE;
    ondemand::json_type type{};
    if (document.type().get(type)) return found_e::UNSURE;
    walker walk(pointer);
    if (type == ondemand::json_type::object) {
        ondemand::object object;
        if (document.get_object().get(object) || walk.walk_object(object, 0))
            return found_e::UNSURE;
        if (!at_end(document)) return found_e::UNSURE;
    } else if (type == ondemand::json_type::array) {
        ondemand::array array;
        if (document.get_array().get(array) || walk.walk_array(array, 0)) return found_e::UNSURE;
    } else {
        return found_e::UNSURE;
    }
    if (!walk.found()) return found_e::MISSING;
    value = walk.value();
    while (!value.empty() && std::strchr(" \t\r\n", value.back()) != nullptr)
        value.remove_suffix(1);
    return found_e::FOUND;
}

}  // namespace wspool::python
