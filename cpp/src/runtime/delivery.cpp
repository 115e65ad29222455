#include "runtime/delivery.hpp"

namespace wspool::runtime {

void batch::add(std::function<void()> call) { events_.push_back({nullptr, 0, 0, std::move(call)}); }

void batch::run(bool with_messages) {
    for (event& e : events_) {
        if (e.target) {
            if (with_messages) e.target->deliver(messages_.data() + e.first, e.count);
            if (detached_) e.target->caught_up(e.count, bytes_of(e));
        } else {
            e.call();
        }
    }
}

void batch::clear() {
    events_.clear();
    messages_.clear();
    if (!kept_.empty()) kept_.clear();
}

std::size_t batch::bytes_of(const event& e) const {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < e.count; ++i) bytes += messages_[e.first + i].payload.size();
    return bytes;
}

void batch::detach() {
    detached_ = true;
    for (event& e : events_) {
        if (!e.target) continue;
        const std::size_t bytes = bytes_of(e);
        std::string& copy = kept_.emplace_back();
        copy.reserve(bytes);
        for (std::size_t i = 0; i < e.count; ++i) {
            message_view_t& message = messages_[e.first + i];
            const std::size_t at = copy.size();
            copy.append(message.payload);
            message.payload = std::string_view(copy.data() + at, message.payload.size());
        }
        e.target->set_aside(e.count, bytes);
    }
}

}  // namespace wspool::runtime
