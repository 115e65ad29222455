#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/un.h>

#include <asio.hpp>

#include "transport/resolver.hpp"
#include "wspool/error.hpp"

namespace wspool::transport {

/// Where to connect to, and from where.
struct destination_t {
    std::string host;
    std::uint16_t port = 0;
    std::string unix_path;      ///< of a Unix socket, instead of host and port; empty: TCP
    std::string local_address;  ///< an IP address; empty leaves it to the system
    std::uint16_t local_port = 0;
    bool is_proxy = false;  ///< for error texts
};

/// Looks a host up and connects to the first of its addresses that answers: IPv6 and IPv4 in
/// turn, a new attempt every 250 ms or when the last has failed (RFC 8305). Or connects to a Unix
/// socket.
///
/// Thread safety: loop thread only. Ends by calling the handler once, unless cancelled.
class connector : public std::enable_shared_from_this<connector> {
public:
    using socket = asio::generic::stream_protocol::socket;
    using handler_t = std::function<void(error_ptr, socket)>;
    /// Bytes in the path of a Unix socket.
    static constexpr std::size_t max_unix_path = sizeof(sockaddr_un::sun_path) - 1;

    connector(asio::io_context& io, destination_t destination);
    void start(handler_t handler);
    void cancel();

private:
    using endpoint = asio::generic::stream_protocol::endpoint;
    static constexpr std::chrono::milliseconds attempt_delay{250};
    static constexpr std::chrono::milliseconds full_queue_delay{10};

    void resolved(std::error_code error, const resolver::endpoints_t& results);
    void begin(std::vector<endpoint> found);
    void next_attempt();
    void attempted(std::size_t index, std::error_code error);
    void finish(error_ptr error, socket connected);
    bool bind_local(socket& opened, const endpoint& remote, std::error_code& error);
    [[nodiscard]] std::string where() const;

    asio::io_context& io_;
    const destination_t destination_;
    handler_t handler_;
    resolver::query query_;
    asio::steady_timer delay_;
    std::vector<endpoint> addresses_;
    std::vector<std::unique_ptr<socket>> attempts_;
    std::size_t failed_ = 0;
    std::error_code first_error_;
};

}  // namespace wspool::transport
