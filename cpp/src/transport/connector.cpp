#include "transport/connector.hpp"

#include <utility>

namespace wspool::transport {

using asio::ip::tcp;

connector::connector(asio::io_context& io, destination_t destination)
    : io_(io), destination_(std::move(destination)), delay_(io) {}

void connector::start(handler_t handler) {
    handler_ = std::move(handler);
    if (!destination_.unix_path.empty()) {
        begin({asio::local::stream_protocol::endpoint(destination_.unix_path)});
        return;
    }
    std::error_code not_an_address;
    const auto address = asio::ip::make_address(destination_.host, not_an_address);
    if (!not_an_address) {
        begin({tcp::endpoint(address, destination_.port)});
        return;
    }
    // Weakly: the query is ours, and dies with us.
    query_ = resolver::resolve(
        io_, destination_.host, destination_.port,
        [me = weak_from_this()](std::error_code error, const resolver::endpoints_t& results) {
            if (const auto self = me.lock()) self->resolved(error, results);
        });
}

void connector::cancel() {
    handler_ = nullptr;
    query_.cancel();
    delay_.cancel();
    attempts_.clear();
}

void connector::resolved(std::error_code error, const resolver::endpoints_t& results) {
    if (!handler_) return;
    if (error || results.empty()) {
        finish(std::make_unique<error_c>(error_e::RESOLVE,
                                         std::string("cannot resolve ") +
                                             (destination_.is_proxy ? "proxy " : "host ") +
                                             destination_.host + ": " + error.message(),
                                         0, error.value()),
               socket(io_));
        return;
    }
    // Families alternate, beginning with the one the system puts first (RFC 8305 section 4).
    std::vector<endpoint> first;
    std::vector<endpoint> second;
    const auto family = results.front().protocol();
    for (const auto& entry : results) {
        (entry.protocol() == family ? first : second).emplace_back(entry);
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

bool connector::bind_local(socket& opened, const endpoint& remote, std::error_code& error) {
    const std::string& address = destination_.local_address;
    const std::uint16_t port = destination_.local_port;
    if (address.empty() && port == 0) return true;
    const bool is_v6 = remote.protocol().family() == tcp::v6().family();
    tcp::endpoint local(is_v6 ? tcp::v6() : tcp::v4(), port);
    if (!address.empty()) {
        const auto parsed = asio::ip::make_address(address, error);
        if (error) return false;
        local = tcp::endpoint(parsed, port);
    }
    opened.bind(local, error);
    return !error;
}

/// For error messages.
std::string connector::where() const {
    if (!destination_.unix_path.empty()) return destination_.unix_path;
    return (destination_.is_proxy ? "proxy " : "") + destination_.host + " port " +
           std::to_string(destination_.port);
}

void connector::next_attempt() {
    const std::size_t index = attempts_.size();
    if (!handler_ || index == addresses_.size()) return;
    auto& attempt = *attempts_.emplace_back(std::make_unique<socket>(io_));
    std::error_code error;
    attempt.open(addresses_[index].protocol(), error);
    if (error || !bind_local(attempt, addresses_[index], error)) {
        asio::post(io_,
                   [self = shared_from_this(), index, error] { self->attempted(index, error); });
        return;
    }
    attempt.async_connect(addresses_[index],
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
    // A Unix socket whose listener has no room in its queue. TCP would go on trying by itself.
    if (error == asio::error::no_buffer_space && !destination_.unix_path.empty()) {
        attempts_.clear();
        delay_.expires_after(full_queue_delay);
        delay_.async_wait([self = shared_from_this()](std::error_code cancelled) {
            if (!cancelled) self->next_attempt();
        });
        return;
    }
    // That an address is of another family than the local one says little, if others were tried.
    if (!first_error_ || first_error_ == asio::error::address_family_not_supported) {
        first_error_ = error;
    }
    ++failed_;
    if (failed_ == addresses_.size()) {
        finish(std::make_unique<error_c>(
                   error_e::CONNECT, "cannot connect to " + where() + ": " + first_error_.message(),
                   0, first_error_.value()),
               socket(io_));
        return;
    }
    if (failed_ == attempts_.size()) next_attempt();
}

void connector::finish(error_ptr error, socket connected) {
    const handler_t handler = std::exchange(handler_, nullptr);
    delay_.cancel();
    attempts_.clear();
    handler(std::move(error), std::move(connected));
}

}  // namespace wspool::transport
