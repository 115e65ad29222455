#include "wspool/json_finder.hpp"

#include "json/picker.hpp"
#include "json/plan.hpp"

namespace wspool {

class json_finder_c::impl {
public:
    explicit impl(const json_pointer_c& pointer) : slot(plan.add(pointer.Steps())), picker(plan) {}

    json::plan plan;
    const int slot;
    json::picker picker;
};

json_finder_c::json_finder_c(const json_pointer_c& pointer)
    : impl_(std::make_unique<impl>(pointer)) {}

json_finder_c::~json_finder_c() = default;

json_finder_c::found_e json_finder_c::Find(std::string_view text, bool is_utf8,
                                           std::string_view& value) {
    if (!impl_->picker.pick(text, is_utf8)) return found_e::NOT_JSON;
    const auto& found = impl_->picker.value(impl_->slot);
    if (found.is_missing()) return found_e::MISSING;
    value = found.text();
    return found_e::FOUND;
}

}  // namespace wspool
