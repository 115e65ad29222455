#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <asio.hpp>

#include "transport/background.hpp"

namespace wspool::transport {

/// Looks host names up on threads of its own, which all endpoints share: a name server that does
/// not answer holds up neither an endpoint nor, as long as some of `most_threads` are left, other
/// names.
///
/// The system's getaddrinfo, and no library for DNS: it knows /etc/hosts, mDNS, and what else
/// this machine is set up to use. It cannot be interrupted, so a look-up that is cancelled is
/// forgotten, and its thread goes on by itself.
class resolver {
public:
    static constexpr unsigned most_threads = background::most_threads;

    using endpoints_t = std::vector<asio::ip::tcp::endpoint>;
    /// What the look-up says: addresses in the system's order, or an error of `category`.
    using found_t = std::function<void(std::error_code, endpoints_t)>;
    /// As getaddrinfo does it; another one in tests.
    using lookup_t = std::error_code (*)(const std::string& host, std::uint16_t port,
                                         endpoints_t& out);

    /// One look-up. Destroyed or cancelled, nobody is told. It must not outlive its io_context.
    class query {
    public:
        query() = default;
        ~query() { cancel(); }
        query(query&&) noexcept = default;
        query& operator=(query&& other) noexcept {
            cancel();
            state_ = std::move(other.state_);
            return *this;
        }
        void cancel();

    private:
        friend class resolver;
        struct state;
        std::shared_ptr<state> state_;
    };

    /// `found` is called on `io`, unless the query is cancelled first. Any thread may call it; the
    /// query belongs to the thread that runs `io`.
    static query resolve(asio::io_context& io, std::string host, std::uint16_t port, found_t found);
    /// The category of its errors: numbers and texts of getaddrinfo.
    static const std::error_category& category();
    static std::error_code system_lookup(const std::string& host, std::uint16_t port,
                                         endpoints_t& out);
    /// For tests; returns the one before.
    static lookup_t set_lookup(lookup_t lookup);
};

}  // namespace wspool::transport
