#include "wspool/detail/random_source.hpp"

#include <pthread.h>

#include <atomic>
#include <mutex>
#include <stdexcept>

#include <openssl/rand.h>

namespace wspool::detail {

namespace {

std::atomic<unsigned> forks{0};

void watch_forks() {
    static std::once_flag once;
    std::call_once(once, [] {
        pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
    });
}

}  // namespace

unsigned random_source::fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }

void random_source::refill() {
    watch_forks();
    generation_ = fork_generation();
    if (RAND_bytes(reinterpret_cast<unsigned char*>(pool_.data()), sizeof pool_) != 1) {
        throw std::runtime_error("the system's random number generator failed");
    }
    next_ = 0;
}

random_source& random_source::This_thread() {
    thread_local random_source source;
    return source;
}

}  // namespace wspool::detail
