#include "wspool/endpoint_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace wspool {

namespace {

// The pool of the process: the one global of the library. Made at the first use, never destroyed.
std::atomic<endpoint_pool_c*> instance{nullptr};

std::mutex& instance_mutex() {
    static std::mutex mutex;
    return mutex;
}

}  // namespace

endpoint_pool_c& endpoint_pool_c::Instance() {
    endpoint_pool_c* pool = instance.load(std::memory_order_acquire);
    if (pool != nullptr) return *pool;
    static std::once_flag once;
    std::call_once(once, [] {
        // The child's threads are gone, so its pool starts anew; the parent's is leaked there.
        // The mutex is held across fork(), so that the child finds it free.
        pthread_atfork([] { instance_mutex().lock(); }, [] { instance_mutex().unlock(); },
                       [] {
                           instance.store(nullptr, std::memory_order_release);
                           instance_mutex().unlock();
                       });
    });
    const std::lock_guard lock(instance_mutex());
    pool = instance.load(std::memory_order_acquire);
    if (pool == nullptr) {
        pool = std::make_unique<endpoint_pool_c>().release();
        instance.store(pool, std::memory_order_release);
    }
    return *pool;
}

endpoint_pool_c::endpoint_pool_c(std::size_t size) {
    if (size == 0) size = std::max(1U, std::thread::hardware_concurrency());
    endpoints_.reserve(size);
    for (std::size_t i = 0; i < size; ++i) endpoints_.push_back(std::make_shared<endpoint_c>());
}

endpoint_pool_c::~endpoint_pool_c() = default;

endpoint_c& endpoint_pool_c::Get_endpoint() {
    return *endpoints_[next_.fetch_add(1, std::memory_order_relaxed) % endpoints_.size()];
}

endpoint_c& endpoint_pool_c::Get_endpoint(std::size_t index) { return *Share_endpoint(index); }

std::shared_ptr<endpoint_c> endpoint_pool_c::Share_endpoint(std::size_t index) {
    if (index > Max_index()) {
        throw std::out_of_range("endpoint " + std::to_string(index) + " of a pool of " +
                                std::to_string(endpoints_.size()));
    }
    return endpoints_[index];
}

bool endpoint_pool_c::Close(std::chrono::nanoseconds timeout) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    const auto left = [until] {
        return std::max<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(),
                                                  std::chrono::milliseconds(0));
    };
    for (const auto& endpoint : endpoints_) endpoint->Close_all_connections();
    for (const auto& endpoint : endpoints_) endpoint->Wait_for_closing_all(left());
    bool all_ended = true;
    for (const auto& endpoint : endpoints_) {
        // What is left is aborted, which takes no time unless a callback does not return.
        all_ended &= endpoint->Stop(left() + std::chrono::milliseconds(100));
    }
    return all_ended;
}

}  // namespace wspool
