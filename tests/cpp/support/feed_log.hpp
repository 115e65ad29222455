#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "support/recorder.hpp"
#include "wspool/wspool.hpp"

namespace doctest {

/// So that a comparison that fails says what there was.
template <>
struct StringMaker<std::vector<std::string>> {
    static String convert(const std::vector<std::string>& items) {
        std::string all;
        for (const std::string& item : items) all += (all.empty() ? "" : ", ") + item;
        return all.c_str();
    }
};

}  // namespace doctest

namespace wspool_test {

/// An event in a few characters: "opened 2", "gap 2", "closed 1 1006".
inline std::string brief(const wspool::event_t& event) {
    const std::string generation = std::to_string(event.generation);
    switch (event.kind) {
        case wspool::event_t::kind_e::OPENED:
            return "opened " + generation;
        case wspool::event_t::kind_e::GAP:
            return "gap " + generation;
        case wspool::event_t::kind_e::CLOSED:
            break;
    }
    return "closed " + generation + " " + std::to_string(event.code);
}

/// Writes down all that happens on a feed, in one order: events, and messages as "1:payload" with
/// the generation.
class feed_log : public wspool::listener_c {
public:
    std::function<void(std::string_view)> when_message;

    void On_open(wspool::metadata_c& /*connection*/) override { note("open"); }
    void On_messages(wspool::metadata_c& /*connection*/, const wspool::message_view_t* messages,
                     std::size_t count) override {
        for (std::size_t i = 0; i < count; ++i) {
            note(std::to_string(messages[i].generation) + ":" + std::string(messages[i].payload));
            if (when_message) when_message(messages[i].payload);
        }
    }
    void On_event(wspool::metadata_c& /*connection*/, const wspool::event_t& event) override {
        {
            const std::lock_guard lock(mutex_);
            events_.push_back(event);
        }
        note(brief(event));
    }
    void On_close(wspool::metadata_c& /*connection*/, std::uint16_t code,
                  std::string_view /*reason*/) override {
        note("close " + std::to_string(code));
    }
    void On_fail(wspool::metadata_c& /*connection*/, const wspool::error_c& error) override {
        {
            const std::lock_guard lock(mutex_);
            failure_ = std::make_shared<const wspool::error_c>(error);
        }
        note("fail");
    }
    void On_error(wspool::metadata_c& /*connection*/,
                  std::exception_ptr /*what*/) noexcept override {
        note("error");
    }

    [[nodiscard]] std::vector<std::string> items() {
        const std::lock_guard lock(mutex_);
        return items_;
    }
    [[nodiscard]] std::vector<wspool::event_t> events() {
        const std::lock_guard lock(mutex_);
        return events_;
    }
    [[nodiscard]] std::ptrdiff_t count(const std::string& item) {
        const std::lock_guard lock(mutex_);
        return std::count(items_.begin(), items_.end(), item);
    }
    /// How many begin so.
    [[nodiscard]] std::ptrdiff_t count_of(const std::string& begin) {
        const std::lock_guard lock(mutex_);
        return std::count_if(items_.begin(), items_.end(), [&](const std::string& item) {
            return item.compare(0, begin.size(), begin) == 0;
        });
    }
    /// The error of On_fail.
    [[nodiscard]] std::shared_ptr<const wspool::error_c> failure() {
        const std::lock_guard lock(mutex_);
        return failure_;
    }
    bool wait(const std::string& item) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] {
            return std::find(items_.begin(), items_.end(), item) != items_.end();
        });
    }

private:
    void note(std::string item) {
        const std::lock_guard lock(mutex_);
        items_.push_back(std::move(item));
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> items_;
    std::vector<wspool::event_t> events_;
    std::shared_ptr<const wspool::error_c> failure_;
};

/// A feed with its log.
struct fed_t {
    std::shared_ptr<feed_log> log;
    std::shared_ptr<wspool::metadata_c> feed;
};

inline fed_t start_feed(wspool::endpoint_c& endpoint, const std::string& uri,
                        const wspool::options_t& options,
                        std::shared_ptr<feed_log> log = std::make_shared<feed_log>()) {
    fed_t made{std::move(log), nullptr};
    const auto error = endpoint.Create_new_connection(uri, made.log, options, made.feed);
    if (error) throw std::runtime_error(error->Error_msg());
    return made;
}

/// A message with this in it.
inline wspool::acknowledgement_t containing(std::string text) {
    wspool::acknowledgement_t one;
    one.contains = std::move(text);
    return one;
}

/// Reconnects as soon as the gate lets it.
inline wspool::options_t reconnecting() {
    wspool::options_t options;
    options.reconnect.enabled = true;
    options.reconnect.initial_delay = 1ms;
    options.reconnect.max_delay = 2ms;
    return options;
}

}  // namespace wspool_test
