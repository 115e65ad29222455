#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <asio.hpp>

#include "wspool/error.hpp"

namespace wspool::transport {

/// Looks a host up and connects to the first of its addresses that answers: IPv6 and IPv4 in
/// turn, a new attempt every 250 ms or when the last has failed (RFC 8305).
///
/// Thread safety: loop thread only. Ends by calling the handler once, unless cancelled.
class connector : public std::enable_shared_from_this<connector> {
public:
    using handler_t = std::function<void(error_ptr, asio::ip::tcp::socket)>;

    connector(asio::io_context& io, std::string host, std::uint16_t port, std::string local_address,
              std::uint16_t local_port);
    void start(handler_t handler);
    void cancel();

private:
    using endpoint = asio::ip::tcp::endpoint;
    static constexpr std::chrono::milliseconds attempt_delay{250};

    void resolved(std::error_code error, const asio::ip::tcp::resolver::results_type& results);
    void begin(std::vector<endpoint> found);
    void next_attempt();
    void attempted(std::size_t index, std::error_code error);
    void finish(error_ptr error, asio::ip::tcp::socket socket);
    bool bind_local(asio::ip::tcp::socket& socket, const endpoint& remote, std::error_code& error);

    asio::io_context& io_;
    std::string host_;
    std::uint16_t port_;
    std::string local_address_;
    std::uint16_t local_port_;
    handler_t handler_;
    asio::ip::tcp::resolver resolver_;
    asio::steady_timer delay_;
    std::vector<endpoint> addresses_;
    std::vector<std::unique_ptr<asio::ip::tcp::socket>> attempts_;
    std::size_t failed_ = 0;
    std::error_code first_error_;
};

}  // namespace wspool::transport
