#include "process.hpp"

#include <pthread.h>

#include <atomic>

namespace wspool {

namespace {

std::atomic<unsigned> generation{0};

// Before main(), so that no fork goes uncounted.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

unsigned process_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace wspool
