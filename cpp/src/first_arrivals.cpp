#include "first_arrivals.hpp"

namespace wspool::detail {

first_arrivals::first_arrivals(const std::vector<std::string>& pointers) {
    for (const std::string& pointer : pointers) {
        finders_.push_back(std::make_unique<json_finder_c>(json_pointer_c::Parse(pointer).value()));
    }
}

bool first_arrivals::is_first(const message_view_t& message) {
    name_.clear();
    for (const auto& finder : finders_) {
        std::string_view value;
        if (finder->Find(message.payload, message.is_text, value) !=
            json_finder_c::found_e::FOUND) {
            return true;
        }
        // A value has bare newlines only between its brackets, which say where it ends: so names of
        // several values stay apart.
        name_.append(value).push_back('\n');
    }
    if (name_.size() > longest_name || known_.count(name_) != 0) {
        return name_.size() > longest_name;
    }
    if (ring_.size() < most_known) {
        // Room for all at once would be 2 MB of a feed that may be small; but strings must not
        // move once they are referred to.
        if (ring_.capacity() == ring_.size()) {
            known_.clear();
            ring_.reserve(ring_.empty() ? 1024 : most_known);
            for (const std::string& one : ring_) known_.insert(one);
        }
        known_.insert(ring_.emplace_back(name_));
        return true;
    }
    std::string& oldest = ring_[next_];
    known_.erase(oldest);
    oldest = name_;
    known_.insert(oldest);
    next_ = (next_ + 1) % most_known;
    return true;
}

}  // namespace wspool::detail
