/// The way to the server through a proxy; loop thread. All of it is within the opening's deadline.

#include <array>

#include "session.hpp"
#include "transport/tls_context.hpp"

namespace wspool::detail {

using kind_e = proxy_t::kind_e;
using result_e = transport::stream::result_e;
using step_e = transport::proxy_handshake::step_e;

void session::connect_to_proxy() {
    const proxy_t& proxy = options_.proxy;
    proxy_target_ = uri_.host;
    std::error_code not_an_address;
    asio::ip::make_address(uri_.host, not_an_address);
    if (proxy.kind != kind_e::SOCKS5 || !not_an_address) {
        return connect_to(proxy.host, proxy.port);
    }
    // The name is looked up here; the proxy is told an address.
    proxy_query_ = transport::resolver::resolve(
        loop_->io(), uri_.host, uri_.port,
        // Weakly: the query is ours, and dies with us.
        [me = std::weak_ptr<metadata_c>(weak_from_this())](
            std::error_code failed, const transport::resolver::endpoints_t& found) {
            const auto alive = me.lock();
            if (!alive) return;
            auto& self = static_cast<session&>(*alive);
            if (!self.connect_handler_) return;
            if (failed || found.empty()) {
                return self.connect_failed(std::make_unique<error_c>(
                    error_e::RESOLVE,
                    "cannot resolve host " + self.uri_.host + ": " + failed.message(), 0,
                    failed.value()));
            }
            self.proxy_target_ = found.front().address().to_string();
            self.connect_to(self.options_.proxy.host, self.options_.proxy.port);
        });
}

/// TCP to the proxy is there.
void session::begin_proxy() {
    const proxy_t& proxy = options_.proxy;
    if (proxy.kind != kind_e::HTTPS) return begin_proxy_handshake();
    error_ptr failed;
    auto tls = proxy.tls;
    if (!tls) {
        tls = transport::default_tls_context(options_.default_ca_file, options_.default_ca_path,
                                             failed);
    }
    if (!tls) return connect_failed(std::move(failed));
    stream_.start_tunnel_tls(std::move(tls),
                             proxy.server_hostname.empty() ? proxy.host : proxy.server_hostname);
    tunnel_step();
}

void session::tunnel_step() {
    const auto result = stream_.tunnel_handshake();
    if (result == result_e::failed) {
        const auto error = stream_.take_error();
        stream_.flush();  // the alert
        return connect_failed(std::make_unique<error_c>(
            error->Code(), "proxy " + options_.proxy.host + ": " + error->Error_msg(), 0,
            error->System_code()));
    }
    if (result == result_e::end) {
        return connect_failed(std::make_unique<error_c>(
            error_e::TLS, "the proxy closed the connection during the TLS handshake"));
    }
    if (opening_step(result, &session::tunnel_step)) begin_proxy_handshake();
}

void session::begin_proxy_handshake() {
    proxy_handshake_ = std::make_unique<transport::proxy_handshake>(options_.proxy, proxy_target_,
                                                                    uri_.port, options_.user_agent);
    const std::string request = proxy_handshake_->take_output();
    stream_.write(request.data(), request.size());
    if (opening_step(result_e::done, &session::proxy_step)) proxy_step();
}

void session::proxy_step() {
    std::array<char, 4096> bytes;
    std::size_t count = 0;
    const auto result = stream_.read(bytes.data(), bytes.size(), nullptr, 0, count);
    if (result == result_e::end) {
        return connect_failed(std::make_unique<error_c>(
            error_e::PROXY, "proxy " + options_.proxy.host + " port " +
                                std::to_string(options_.proxy.port) +
                                ": it closed the connection without an answer"));
    }
    if (result != result_e::done) {
        opening_step(result, &session::proxy_step);
        return;
    }
    const step_e step = proxy_handshake_->take({bytes.data(), count});
    if (step == step_e::failed) return connect_failed(proxy_handshake_->take_error());
    if (step == step_e::done) {
        proxy_handshake_.reset();
        return connected_to_server();
    }
    const std::string request = proxy_handshake_->take_output();
    stream_.write(request.data(), request.size());
    // A tunnel may hold more that the system will not announce.
    const bool more = stream_.has_input();
    if (opening_step(more ? result_e::done : result_e::would_block, &session::proxy_step)) {
        proxy_step();
    }
}

}  // namespace wspool::detail
