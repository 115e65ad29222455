#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace wspool::runtime {

/// Calls user code of one connection, and can be shut. Any thread.
class callback_gate {
public:
    /// Calls `call`; what it throws goes to `report`. One thread at a time. No lock is held.
    template <typename Call, typename Report>
    void pass(Call&& call, Report&& report) noexcept {
        in_callback_.store(true);
        try {
            call();
        } catch (...) {
            report();
        }
        in_callback_.store(false);
        if (!waited_for_.load()) return;
        const std::lock_guard lock(mutex_);
        returned_.notify_all();
    }
    [[nodiscard]] bool is_shut() const noexcept { return shut_.load(); }
    void shut() noexcept { shut_.store(true); }
    /// Waits until a call that is running has returned. Not from inside it.
    void wait_for_return() {
        waited_for_.store(true);
        std::unique_lock lock(mutex_);
        returned_.wait(lock, [this] { return !in_callback_.load(); });
    }

private:
    std::atomic<bool> shut_{false};
    std::atomic<bool> in_callback_{false};
    std::atomic<bool> waited_for_{false};
    std::mutex mutex_;
    std::condition_variable returned_;
};

}  // namespace wspool::runtime
