#include "transport/background.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>

namespace wspool::transport {

namespace {

std::array<std::atomic<background*>, 2> current{};

/// After fork() the parent's threads do not exist here, and its lock may be held for good.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] {
    for (auto& one : current) one.store(nullptr, std::memory_order_relaxed);
});

}  // namespace

background& background::of_process(purpose_e purpose) {
    auto& place = current.at(static_cast<std::size_t>(purpose));
    background* one = place.load();
    if (one == nullptr) {
        auto made = std::make_unique<background>();
        if (place.compare_exchange_strong(one, made.get())) one = made.release();
    }
    return *one;
}

void background::submit(work_t work) {
    std::unique_lock lock(mutex_);
    work_.push_back(std::move(work));
    if (idle_ >= work_.size() || threads_ >= most_threads) {
        there_is_work_.notify_one();
        return;
    }
    ++threads_;
    lock.unlock();
    try {
        std::thread([this] { run(); }).detach();
    } catch (const std::system_error&) {
        lock.lock();
        --threads_;
        if (threads_ != 0) return;  // another one will come to it
        const auto nobody_comes = std::exchange(work_, {});
        lock.unlock();
        for (const work_t& one : nobody_comes) one(false);
    }
}

void background::run() {
    constexpr auto idle_for = std::chrono::seconds(10);
    std::unique_lock lock(mutex_);
    while (true) {
        ++idle_;
        const bool some =
            there_is_work_.wait_for(lock, idle_for, [this] { return !work_.empty(); });
        --idle_;
        if (!some) break;
        work_t work = std::move(work_.front());
        work_.pop_front();
        lock.unlock();
        work(true);
        work = nullptr;
        lock.lock();
    }
    --threads_;
}

}  // namespace wspool::transport
