#include "transport/connector.hpp"

#include <utility>

namespace wspool::transport {

using asio::ip::tcp;

connector::connector(asio::io_context& io, std::string host, std::uint16_t port,
                     std::string local_address, std::uint16_t local_port)
    : io_(io),
      host_(std::move(host)),
      port_(port),
      local_address_(std::move(local_address)),
      local_port_(local_port),
      resolver_(io),
      delay_(io) {}

void connector::start(handler_t handler) {
    handler_ = std::move(handler);
    std::error_code not_an_address;
    const auto address = asio::ip::make_address(host_, not_an_address);
    if (!not_an_address) {
        begin({endpoint(address, port_)});
        return;
    }
    resolver_.async_resolve(host_, std::to_string(port_), tcp::resolver::numeric_service,
                            [self = shared_from_this()](std::error_code error, auto results) {
                                self->resolved(error, results);
                            });
}

void connector::cancel() {
    handler_ = nullptr;
    resolver_.cancel();
    delay_.cancel();
    attempts_.clear();
}

void connector::resolved(std::error_code error, const tcp::resolver::results_type& results) {
    if (!handler_) return;
    if (error || results.empty()) {
        finish(std::make_unique<error_c>(error_e::RESOLVE,
                                         "cannot resolve host " + host_ + ": " + error.message(), 0,
                                         error.value()),
               tcp::socket(io_));
        return;
    }
    // Families alternate, beginning with the one the system puts first (RFC 8305 section 4).
    std::vector<endpoint> first;
    std::vector<endpoint> second;
    const auto family = results.begin()->endpoint().protocol();
    for (const auto& entry : results) {
        (entry.endpoint().protocol() == family ? first : second).push_back(entry.endpoint());
    }
    std::vector<endpoint> order;
    for (std::size_t i = 0; i < first.size() || i < second.size(); ++i) {
        if (i < first.size()) order.push_back(first[i]);
        if (i < second.size()) order.push_back(second[i]);
    }
    begin(std::move(order));
}

void connector::begin(std::vector<endpoint> found) {
    addresses_ = std::move(found);
    next_attempt();
}

bool connector::bind_local(tcp::socket& socket, const endpoint& remote, std::error_code& error) {
    if (local_address_.empty() && local_port_ == 0) return true;
    endpoint local(remote.protocol(), local_port_);
    if (!local_address_.empty()) {
        const auto address = asio::ip::make_address(local_address_, error);
        if (error) return false;
        local = endpoint(address, local_port_);
    }
    socket.bind(local, error);
    return !error;
}

void connector::next_attempt() {
    const std::size_t index = attempts_.size();
    if (!handler_ || index == addresses_.size()) return;
    auto& socket = *attempts_.emplace_back(std::make_unique<tcp::socket>(io_));
    std::error_code error;
    socket.open(addresses_[index].protocol(), error);
    if (error || !bind_local(socket, addresses_[index], error)) {
        asio::post(io_,
                   [self = shared_from_this(), index, error] { self->attempted(index, error); });
        return;
    }
    socket.async_connect(addresses_[index],
                         [self = shared_from_this(), index](std::error_code result) {
                             self->attempted(index, result);
                         });
    if (index + 1 == addresses_.size()) return;
    delay_.expires_after(attempt_delay);
    delay_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (!cancelled) self->next_attempt();
    });
}

void connector::attempted(std::size_t index, std::error_code error) {
    if (!handler_) return;
    if (!error) {
        finish(nullptr, std::move(*attempts_[index]));
        return;
    }
    if (!first_error_) first_error_ = error;
    ++failed_;
    if (failed_ == addresses_.size()) {
        finish(std::make_unique<error_c>(error_e::CONNECT,
                                         "cannot connect to " + host_ + " port " +
                                             std::to_string(port_) + ": " + first_error_.message(),
                                         0, first_error_.value()),
               tcp::socket(io_));
        return;
    }
    if (failed_ == attempts_.size()) next_attempt();
}

void connector::finish(error_ptr error, tcp::socket socket) {
    const handler_t handler = std::exchange(handler_, nullptr);
    delay_.cancel();
    attempts_.clear();
    handler(std::move(error), std::move(socket));
}

}  // namespace wspool::transport
