#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "wspool/listener.hpp"
#include "wspool/sink.hpp"

namespace wspool::runtime {

/// Who gets messages delivered: a connection.
class consumer {
public:
    virtual ~consumer() = default;
    /// Calls user code. On the thread that delivers; never throws.
    virtual void deliver(const message_view_t* messages, std::size_t count) noexcept = 0;
    /// Messages were put aside because the endpoint's consumer has stalled. Loop thread.
    virtual void set_aside(std::size_t messages, std::size_t bytes) = 0;
    /// Messages put aside have been delivered. Any thread.
    virtual void caught_up(std::size_t messages, std::size_t bytes) = 0;
};

/// What one turn of the loop has for user code, in order.
///
/// Payloads are slices of the loop thread's read buffer or of strings kept here; `detach` copies
/// the former, for a batch that outlives the turn.
class batch {
public:
    [[nodiscard]] bool empty() const { return events_.empty(); }
    /// Where a reader appends messages for one consumer; `append_done` must follow. Payloads stay
    /// until the end of the turn, or are kept by `keep`.
    [[nodiscard]] std::vector<message_view_t>& messages() { return messages_; }
    /// Says whose the messages are that were appended since there were `before`.
    void append_done(const std::shared_ptr<consumer>& target, std::size_t before) {
        const std::size_t added = messages_.size() - before;
        if (added == 0) return;
        if (events_.empty() || events_.back().target != target) {
            events_.push_back({target, before, 0, nullptr});
        }
        events_.back().count += added;
    }
    /// Keeps a payload for as long as the batch.
    std::string_view keep(std::string&& payload) { return kept_.emplace_back(std::move(payload)); }
    /// Adds a call of user code that is not a message; must not throw.
    void add(std::function<void()> call);
    /// Calls user code in order; without messages when the loop is being stopped.
    void run(bool with_messages = true);
    void clear();
    /// Copies all payloads into the batch and tells the consumers so.
    void detach();

private:
    struct event {
        std::shared_ptr<consumer> target;  // null: a call
        std::size_t first = 0;
        std::size_t count = 0;
        std::function<void()> call;
    };
    [[nodiscard]] std::size_t bytes_of(const event& e) const;

    std::vector<event> events_;
    std::vector<message_view_t> messages_;
    std::deque<std::string> kept_;
    bool detached_ = false;
};

/// What one turn of the loop has for a sink, as far as it does not lie in the read buffer.
struct staged {
    std::vector<message_view_t> messages;
    std::deque<std::string> kept;  // short payloads

    void clear() {
        messages.clear();
        if (!kept.empty()) kept.clear();
    }
};

}  // namespace wspool::runtime
