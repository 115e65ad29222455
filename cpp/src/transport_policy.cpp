/// websocketpp's transport policy: everything is the session's.

#include "wspool/detail/transport.hpp"

#include <utility>

#include "session.hpp"

namespace wspool::detail {

namespace {

class steady_timer final : public transport_timer {
public:
    steady_timer(asio::io_context& io, std::chrono::milliseconds after) : timer_(io, after) {}
    void cancel() override { timer_.cancel(); }
    template <typename Handler>
    void wait(Handler&& handler) {
        timer_.async_wait(std::forward<Handler>(handler));
    }

private:
    asio::steady_timer timer_;
};

}  // namespace

transport_connection::transport_connection(bool /*is_server*/,
                                           const std::shared_ptr<alog_type>& /*alog*/,
                                           const std::shared_ptr<elog_type>& /*elog*/) {}

void transport_connection::attach(const std::shared_ptr<session>& owner) { owner_ = owner; }

bool transport_connection::is_secure() const {
    const auto session = owner();
    return session && session->is_secure();
}

std::string transport_connection::get_remote_endpoint() const {
    return {};  // websocketpp only logs it; see metadata_c::Get_remote_address
}

transport_connection::timer_ptr transport_connection::set_timer(
    long milliseconds, websocketpp::transport::timer_handler handler) {
    const auto session = owner();
    return session ? session->set_timer(milliseconds, std::move(handler)) : nullptr;
}

void transport_connection::init(websocketpp::transport::init_handler handler) {
    handler(websocketpp::lib::error_code());
}

void transport_connection::async_read_at_least(std::size_t /*at_least: 1 is all that is asked*/,
                                               char* buffer, std::size_t size,
                                               websocketpp::transport::read_handler handler) {
    if (const auto session = owner()) session->read_some(buffer, size, std::move(handler));
}

void transport_connection::async_write(char const* bytes, std::size_t size,
                                       websocketpp::transport::write_handler handler) {
    if (const auto session = owner())
        session->write({websocketpp::transport::buffer(bytes, size)}, std::move(handler));
}

void transport_connection::async_write(const std::vector<websocketpp::transport::buffer>& buffers,
                                       websocketpp::transport::write_handler handler) {
    if (const auto session = owner()) session->write(buffers, std::move(handler));
}

websocketpp::lib::error_code transport_connection::dispatch(
    websocketpp::transport::dispatch_handler handler) {
    const auto session = owner();
    if (!session) return websocketpp::error::make_error_code(websocketpp::error::invalid_state);
    return session->dispatch(std::move(handler));
}

websocketpp::lib::error_code transport_connection::interrupt(
    websocketpp::transport::interrupt_handler handler) {
    return dispatch(std::move(handler));
}

void transport_connection::async_shutdown(websocketpp::transport::shutdown_handler handler) {
    if (const auto session = owner()) session->shut_down(std::move(handler));
}

void transport_endpoint::async_connect(const transport_con_ptr& connection,
                                       const websocketpp::uri_ptr& /*uri*/,
                                       websocketpp::transport::connect_handler handler) {
    if (const auto session = connection->owner()) session->connect(std::move(handler));
}

std::shared_ptr<transport_timer> session::set_timer(long milliseconds,
                                                    websocketpp::transport::timer_handler handler) {
    const auto timer =
        std::make_shared<steady_timer>(loop_->io(), std::chrono::milliseconds(milliseconds));
    // The only timer that websocketpp is left with is that of the close handshake: once it has
    // expired there is nothing more to wait for.
    timer->wait([self = self(), timer, handler = std::move(handler)](std::error_code cancelled) {
        if (cancelled) return;
        self->skip_linger_ = true;
        self->set_error(error_c(error_e::TIMEOUT, self->closed_by_peer()
                                                      ? "the peer closed, and did not end TCP"
                                                      : "the peer did not answer the close frame"));
        handler(error_code());
    });
    return timer;
}

session::error_code session::dispatch(websocketpp::transport::dispatch_handler handler) {
    if (loop_->owns()) {
        handler();
    } else {
        loop_->post(std::move(handler));
    }
    return {};
}

}  // namespace wspool::detail
