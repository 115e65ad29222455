#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "wspool/wspool.hpp"

namespace wspool_test {

using namespace std::chrono_literals;

/// Long enough for a loaded machine under ThreadSanitizer; nothing waits so long unless it fails.
constexpr auto patience = 20s;

/// Waits until the condition holds.
template <typename Condition>
bool comes_true(Condition&& holds) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// A condition that one thread waits for and another makes true.
class signal_t {
public:
    void set() {
        const std::lock_guard lock(mutex_);
        set_ = true;
        changed_.notify_all();
    }
    [[nodiscard]] bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [this] { return set_; });
    }
    [[nodiscard]] bool is_set() {
        const std::lock_guard lock(mutex_);
        return set_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool set_ = false;
};

/// Writes down what happens on one connection.
class recorder : public wspool::listener_c {
public:
    std::function<void(wspool::metadata_c&)> when_open;
    std::function<void(wspool::metadata_c&, std::string_view)> when_message;
    std::function<void(wspool::metadata_c&)> when_end;

    void On_open(wspool::metadata_c& connection) override {
        note("open");
        if (when_open) when_open(connection);
    }
    void On_messages(wspool::metadata_c& connection, const wspool::message_view_t* messages,
                     std::size_t count) override {
        for (std::size_t i = 0; i < count; ++i) {
            {
                const std::lock_guard lock(mutex_);
                messages_.emplace_back(messages[i].payload);
                changed_.notify_all();
            }
            if (when_message) when_message(connection, messages[i].payload);
        }
    }
    void On_close(wspool::metadata_c& connection, std::uint16_t code,
                  std::string_view reason) override {
        note("close " + std::to_string(code) + " " + std::string(reason));
        if (when_end) when_end(connection);
    }
    void On_fail(wspool::metadata_c& connection, const wspool::error_c& error) override {
        note("fail");
        {
            const std::lock_guard lock(mutex_);
            error_code_ = error.Code();
            error_text_ = error.Error_msg();
        }
        if (when_end) when_end(connection);
    }
    void On_error(wspool::metadata_c& /*connection*/,
                  std::exception_ptr /*what*/) noexcept override {
        note("error");
    }

    [[nodiscard]] std::vector<std::string> events() {
        const std::lock_guard lock(mutex_);
        return events_;
    }
    [[nodiscard]] std::string last_event() {
        const std::lock_guard lock(mutex_);
        return events_.empty() ? "" : events_.back();
    }
    [[nodiscard]] std::vector<std::string> messages() {
        const std::lock_guard lock(mutex_);
        return messages_;
    }
    [[nodiscard]] wspool::error_e error_code() {
        const std::lock_guard lock(mutex_);
        return error_code_;
    }
    [[nodiscard]] std::string error_text() {
        const std::lock_guard lock(mutex_);
        return error_text_;
    }
    bool wait_messages(std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] { return messages_.size() >= count; });
    }
    bool wait_event(const std::string& begin) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, patience, [&] {
            for (const auto& event : events_) {
                if (event.compare(0, begin.size(), begin) == 0) return true;
            }
            return false;
        });
    }

private:
    void note(std::string event) {
        const std::lock_guard lock(mutex_);
        events_.push_back(std::move(event));
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> events_;
    std::vector<std::string> messages_;
    wspool::error_e error_code_ = wspool::error_e::INVALID_STATE;
    std::string error_text_;
};

/// A connection with its recorder.
struct connected_t {
    std::shared_ptr<recorder> log = std::make_shared<recorder>();
    std::shared_ptr<wspool::metadata_c> connection;
};

inline connected_t start(wspool::endpoint_c& endpoint, const std::string& uri,
                         const wspool::options_t& options = {},
                         std::shared_ptr<recorder> log = std::make_shared<recorder>()) {
    connected_t made{std::move(log), nullptr};
    const auto error = endpoint.Create_new_connection(uri, made.log, options, made.connection);
    if (error) throw std::runtime_error(error->Error_msg());
    return made;
}

}  // namespace wspool_test
