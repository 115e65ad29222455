#include "lifecycle.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "gil.hpp"
#include "registers.hpp"

namespace wspool::python {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

/// Bounds of the exit hook: for closing handshakes, and for the threads to end after it.
constexpr auto closing_bound = 500ms;
constexpr auto ending_bound = 500ms;

std::atomic<bool> usable{false};
std::atomic<unsigned> generation{0};
/// Threads that `dispose` has under way.
std::atomic<int> disposals{0};
PyInterpreterState* interpreter = nullptr;

struct known_endpoint {
    std::weak_ptr<endpoint_c> endpoint;
    unsigned generation;
};

/// Read and written under the GIL, so that a fork() from Python finds it whole. Never destroyed.
std::vector<known_endpoint>& known_endpoints() {
    static auto* const endpoints = new std::vector<known_endpoint>;
    return *endpoints;
}

std::vector<std::shared_ptr<endpoint_c>> live_endpoints() {
    std::vector<std::shared_ptr<endpoint_c>> live;
    for (const auto& known : known_endpoints()) {
        if (known.generation != process_generation()) continue;
        if (auto endpoint = known.endpoint.lock()) live.push_back(std::move(endpoint));
    }
    return live;
}

std::chrono::nanoseconds until(clock::time_point deadline) {
    return std::max<std::chrono::nanoseconds>(deadline - clock::now(), 0ns);
}

/// Runs as one of Python's atexit functions, so callbacks still work: connections get a closing
/// handshake where the peer answers quickly, the rest is aborted, and the threads end. A thread
/// that is inside a user's callback is left behind.
void shut_down() {
    if (!usable) return;
    // Leaked: whoever is stuck in a callback still uses its endpoint.
    auto& endpoints = *new std::vector<std::shared_ptr<endpoint_c>>(live_endpoints());
    without_gil([&endpoints] {
        auto deadline = clock::now() + closing_bound;
        for (auto& endpoint : endpoints) endpoint->Close_all_connections(1001);
        for (auto& endpoint : endpoints) endpoint->Wait_for_closing_all(until(deadline));
        for (auto& endpoint : endpoints) endpoint->Stop(0ns);
        deadline = clock::now() + ending_bound;
        for (auto& endpoint : endpoints) endpoint->Stop(until(deadline));
        while (disposals > 0 && clock::now() < deadline) std::this_thread::sleep_for(1ms);
    });
    usable = false;
}

}  // namespace

bool python_is_usable() noexcept { return usable.load(std::memory_order_acquire); }

PyInterpreterState* main_interpreter() noexcept { return interpreter; }

unsigned process_generation() noexcept { return generation.load(std::memory_order_relaxed); }

void remember_endpoint(const std::shared_ptr<endpoint_c>& endpoint) {
    auto& known = known_endpoints();
    known.erase(std::remove_if(known.begin(), known.end(),
                               [](const auto& entry) { return entry.endpoint.expired(); }),
                known.end());
    for (const auto& entry : known) {
        // Compared without lock(): that could leave the last reference to an endpoint here, where
        // its destructor would join a thread that waits for the GIL.
        if (!entry.endpoint.owner_before(endpoint) && !endpoint.owner_before(entry.endpoint))
            return;
    }
    known.push_back({endpoint, process_generation()});
}

void dispose(std::shared_ptr<void> object, unsigned object_generation) noexcept {
    if (!python_is_usable() || object_generation != process_generation()) {
        new std::shared_ptr<void>(std::move(object));
        return;
    }
    // A thread of its own, because this one may be the one that the destructor joins: the last
    // reference often goes when a connection's last callback has returned. No other reference is
    // kept meanwhile, which could turn out to be the last.
    auto* const last = new std::shared_ptr<void>(std::move(object));
    ++disposals;
    try {
        std::thread([last] {
            delete last;
            --disposals;
        }).detach();
    } catch (const std::exception&) {
        --disposals;  // leaked
    }
}

void register_lifecycle(pybind11::module_& module) {
    interpreter = PyInterpreterState_Get();
    usable = true;
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
    module.def("process_generation", &process_generation);
    pybind11::module_::import("atexit").attr("register")(pybind11::cpp_function(&shut_down));
}

}  // namespace wspool::python
