#include "transport/resolver.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include <netdb.h>
#include <sys/socket.h>

namespace wspool::transport {

namespace {

class resolver_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "getaddrinfo"; }
    std::string message(int code) const override { return gai_strerror(code); }
};

std::atomic<resolver::lookup_t> lookup{&resolver::system_lookup};

/// Some may be inside getaddrinfo for as long as a name server does not answer.
background& threads() { return background::of_process(background::purpose_e::LOOK_UPS); }

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
