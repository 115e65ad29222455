#include "transport/resolver.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>

namespace wspool::transport {

namespace {

class resolver_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int code) const override { return gai_strerror(code); }
};

std::atomic<resolver::lookup_t> lookup{&resolver::system_lookup};

/// The threads, and what waits for them. Never destroyed: a thread may be inside getaddrinfo when
/// the process ends.
class pool {
public:
    /// Told whether it may block; if not, there is no thread for it.
    using work_t = std::function<void(bool may_block)>;

    void submit(work_t work) {
        std::unique_lock lock(mutex_);
        work_.push_back(std::move(work));
        if (idle_ >= work_.size() || threads_ >= resolver::most_threads) {
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

private:
    void run() {
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

    std::mutex mutex_;
    std::condition_variable there_is_work_;
    std::deque<work_t> work_;  // all guarded by mutex_
    unsigned threads_ = 0;
    std::size_t idle_ = 0;
};

std::atomic<pool*> current{nullptr};

/// After fork() the parent's threads do not exist here, and its lock may be held for good.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { current.store(nullptr, std::memory_order_relaxed); });

pool& threads() {
    pool* one = current.load();
    if (one == nullptr) {
        auto made = std::make_unique<pool>();
        if (current.compare_exchange_strong(one, made.get())) one = made.release();
    }
    return *one;
}

struct free_addresses {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

}  // namespace

const std::error_category& resolver::category() {
    static const resolver_category one;
    return one;
}

std::error_code resolver::system_lookup(const std::string& host, std::uint16_t port,
                                        endpoints_t& out) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failed = getaddrinfo(host.c_str(), nullptr, &hints, &found);
    const std::unique_ptr<addrinfo, free_addresses> owner(found);
    if (failed == EAI_SYSTEM) return {errno, std::generic_category()};
    if (failed != 0) return {failed, category()};
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        asio::ip::tcp::endpoint endpoint;
        if (one->ai_addrlen > endpoint.capacity()) continue;
        std::memcpy(endpoint.data(), one->ai_addr, one->ai_addrlen);
        endpoint.resize(one->ai_addrlen);
        endpoint.port(port);
        out.push_back(endpoint);
    }
    return out.empty() ? std::error_code(EAI_NONAME, category()) : std::error_code();
}

resolver::lookup_t resolver::set_lookup(lookup_t other) { return lookup.exchange(other); }

/// Shared by the query and the thread that looks up. The mutex is held while posting, so that the
/// io_context is still there.
struct resolver::query::state {
    std::mutex mutex;
    asio::io_context* io = nullptr;  // guarded by mutex; null: cancelled
    found_t found;                   // called on io's thread
};

void resolver::query::cancel() {
    if (!state_) return;
    const std::lock_guard lock(state_->mutex);
    state_->io = nullptr;
}

resolver::query resolver::resolve(asio::io_context& io, std::string host, std::uint16_t port,
                                  found_t found) {
    const auto state = std::make_shared<query::state>();
    state->io = &io;
    state->found = std::move(found);
    threads().submit([state, host = std::move(host), port](bool may_block) {
        {
            const std::lock_guard lock(state->mutex);
            if (state->io == nullptr) return;
        }
        endpoints_t endpoints;
        const std::error_code failed = may_block ? lookup.load()(host, port, endpoints)
                                                 : std::error_code(EAI_AGAIN, category());
        const std::lock_guard lock(state->mutex);
        if (state->io == nullptr) return;
        asio::post(*state->io, [state, failed, endpoints = std::move(endpoints)]() mutable {
            {
                const std::lock_guard again(state->mutex);
                if (state->io == nullptr) return;
            }
            state->found(failed, std::move(endpoints));
        });
    });
    query made;
    made.state_ = state;
    return made;
}

}  // namespace wspool::transport
