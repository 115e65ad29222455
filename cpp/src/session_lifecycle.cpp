/// From connecting to the last callback; loop thread.

#include <algorithm>

#include "endpoint_core.hpp"
#include "log.hpp"
#include "process.hpp"
#include "protocol/handshake.hpp"
#include "session.hpp"

namespace wspool::detail {

using result_e = transport::stream::result_e;

namespace {

websocketpp::lib::error_code transport_error() {
    return websocketpp::transport::error::make_error_code(
        websocketpp::transport::error::pass_through);
}

std::string seconds(std::chrono::milliseconds duration) {
    std::string text = std::to_string(static_cast<double>(duration.count()) / 1000.0);
    text.erase(text.find_last_not_of('0') + 1);
    if (!text.empty() && text.back() == '.') text.pop_back();
    return text + " s";
}

}  // namespace

session::session(std::shared_ptr<endpoint_core> core, int id, protocol::uri_t uri,
                 options_t options, std::shared_ptr<const tls_context_c> tls, consumer_t consumer)
    : connection_base(std::move(core), id, uri.without_credentials(), std::move(options),
                      std::move(consumer)),
      uri_(std::move(uri)),
      tls_(std::move(tls)),
      stream_(loop_->io()),
      deadline_(loop_->io()),
      reader_(*this),
      keepalive_timer_(loop_->io()) {
    reader_.set_max_size(options_.max_size);
    reader_.set_fragments(sink_ && sink_->Wants_fragments());
}

session::~session() = default;

void session::log(log_c::level_e level, std::string text) const {
    write_log(*loop_, options_.log, level, "connection", std::move(text));
}

void session::set_error(const error_c& error) {
    const std::lock_guard lock(state_mutex_);
    if (!error_) error_ = std::make_shared<const error_c>(error);
}

// --- opening

void session::start() {
    if (ending_) return;
    if (options_.open_timeout.count() > 0) {
        deadline_.expires_after(options_.open_timeout);
        deadline_.async_wait([self = self()](std::error_code cancelled) {
            if (cancelled || self->status_.load() != status_e::CONNECTING) return;
            self->skip_linger_ = true;
            self->end(error_c(error_e::TIMEOUT, "the connection to " + self->log_name() +
                                                    " did not open within " +
                                                    seconds(self->options_.open_timeout)));
        });
    }
    open();
}

/// One attempt; a redirect makes another.
void session::open() {
    key_ = protocol::make_key();
    error_code failed;
    const auto location =
        std::make_shared<websocketpp::uri>(uri_.secure, uri_.host, uri_.port, uri_.resource);
    connection_ = core_->client.get_connection(location, failed);
    handle_ = connection_->get_handle();
    connection_->attach(self());
    connection_->set_open_handler([this](websocketpp::connection_hdl) { on_open(); });
    connection_->set_fail_handler([this](websocketpp::connection_hdl) { on_fail(); });
    connection_->set_close_handler([this](websocketpp::connection_hdl) { on_close(); });
    connection_->set_ping_handler(
        [this](websocketpp::connection_hdl, const std::string&) { return on_ping(); });
    connection_->set_pong_handler(
        [this](websocketpp::connection_hdl, const std::string& payload) { on_pong(payload); });
    connection_->set_close_handshake_timeout(static_cast<long>(options_.close_timeout.count()));
    core_->client.connect(connection_);
}

void session::connect(websocketpp::transport::connect_handler handler) {
    connect_handler_ = std::move(handler);
    if (options_.proxy.kind != proxy_t::kind_e::NONE) return connect_to_proxy();
    connect_to(uri_.host, uri_.port);
}

void session::connect_to(const std::string& host, std::uint16_t port) {
    connector_ = std::make_shared<transport::connector>(
        loop_->io(), transport::destination_t{host, port, options_.unix_path,
                                              options_.local_address, options_.local_port,
                                              options_.proxy.kind != proxy_t::kind_e::NONE});
    connector_->start([self = self()](error_ptr error, transport::stream::socket_t socket) {
        self->connected(std::move(error), std::move(socket));
    });
}

void session::connected(error_ptr error, transport::stream::socket_t socket) {
    connector_.reset();
    if (error) return connect_failed(std::move(error));
    stream_.adopt(std::move(socket), {});
    update_addresses();
    if (options_.proxy.kind != proxy_t::kind_e::NONE) return begin_proxy();
    connected_to_server();
}

/// TCP is there, whether directly or through a proxy.
void session::connected_to_server() {
    if (!uri_.secure) return connect_done();
    const std::string& name = options_for_uri().server_hostname;
    // A client certificate is a credential: not for another origin than the user's.
    stream_.start_tls(tls_, name.empty() ? uri_.host : name, foreign_options_ == nullptr);
    tls_step();
}

/// Goes on with what opening waits for: flushes, then calls `next` when it may read or write. True
/// if `result` is `done` and everything has been sent.
bool session::opening_step(result_e result, void (session::*next)()) {
    if (result == result_e::failed) {
        auto error = stream_.take_error();
        stream_.flush();  // the alert
        connect_failed(std::move(error));
        return false;
    }
    const auto flushed = stream_.flush();
    if (flushed == result_e::failed) {
        connect_failed(stream_.take_error());
        return false;
    }
    const auto again = [self = self(), next, attempt = redirects_](std::error_code cancelled) {
        // Given up meanwhile, or of an attempt that was redirected.
        if (cancelled || attempt != self->redirects_ || !self->connect_handler_) return;
        (self.get()->*next)();
    };
    if (flushed == result_e::would_block) {
        stream_.wait_writable(again);
        return false;
    }
    if (result == result_e::would_block) {
        stream_.wait_readable(again);
        return false;
    }
    return true;
}

void session::tls_step() {
    const auto result =
        stream_.tls_handshake(loop_->cipher_buffer(), runtime::loop::cipher_buffer_size);
    if (result == result_e::end) {
        return connect_failed(std::make_unique<error_c>(
            error_e::TLS, "the server closed the connection during the TLS handshake"));
    }
    if (opening_step(result, &session::tls_step)) connect_done();
}

void session::connect_done() {
    {
        const std::lock_guard lock(out_mutex_);
        outbox_closed_ = true;  // to messages, until the handshake is complete
    }
    const auto handler = std::exchange(connect_handler_, nullptr);
    handler(error_code());
}

void session::connect_failed(error_ptr error) {
    set_error(*error);
    const auto handler = std::exchange(connect_handler_, nullptr);
    handler(transport_error());
}

void session::update_addresses() {
    auto local = stream_.local_address();
    auto remote = stream_.remote_address();
    const std::lock_guard lock(state_mutex_);
    local_address_ = std::move(local);
    remote_address_ = std::move(remote);
}

std::string session::write_request() {
    auto fields = protocol::request_fields(uri_, options_for_uri(), key_);
    std::string text = protocol::request_text(uri_, fields);
    const std::lock_guard lock(state_mutex_);
    request_ = {uri_.resource, std::move(fields)};
    return text;
}

session::error_code session::check_response(const handshake_response& response) {
    protocol::negotiated settled;
    auto refused = protocol::check_response(response, options_, key_, settled);
    {
        const std::lock_guard lock(state_mutex_);
        response_ = {response.status(), response.reason_phrase(), response.fields(),
                     response.body()};
        subprotocol_ = settled.subprotocol;
    }
    if (!refused) {
        if (settled.deflate.agreed) {
            reader_.set_deflate(settled.deflate);
            const std::lock_guard lock(out_mutex_);
            deflater_ =
                std::make_unique<protocol::deflater>(settled.deflate, options_.deflate.level);
        }
        return {};
    }
    if (auto unsafe = note_redirect(response)) refused = std::move(unsafe);
    set_error(*refused);
    return websocketpp::processor::error::make_error_code(
        websocketpp::processor::error::invalid_http_status);
}

void session::on_open() {
    deadline_.cancel();
    {
        const std::lock_guard lock(out_mutex_);
        outbox_closed_ = false;
        outbox_.shrink();
        if (stream_.is_plain()) direct_socket_ = stream_.socket().native_handle();
    }
    // What the handshake needed: a connection may be idle from here on.
    writing_.shrink();
    stream_.shrink();
    const_cast<handshake_request&>(connection_->get_request()).set_raw({});
    status_.store(status_e::OPENED);
    start_keepalive();
    log(log_c::level_e::INFO, "open: " + log_name());
    if (sink_) return sink_->On_open(*this);
    loop_->turn().add([self = self()] { self->guarded([&] { self->listener_->On_open(*self); }); });
}

// --- closing

void session::record_received_close(std::string_view payload) {
    status_e expected = status_e::OPENED;
    status_.compare_exchange_strong(expected, status_e::CLOSING);
    const std::lock_guard lock(state_mutex_);
    received_close_.emplace();
    received_close_first_ = !sent_close_;
    if (payload.size() < 2) return;
    received_close_->code = static_cast<std::uint16_t>(
        static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]));
    received_close_->reason = payload.substr(2);
}

std::string session::record_sent_close(std::uint16_t code, std::string_view reason) {
    {
        const std::lock_guard lock(out_mutex_);
        outbox_closed_ = true;
        out_room_.notify_all();
    }
    status_e expected = status_e::OPENED;
    status_.compare_exchange_strong(expected, status_e::CLOSING);
    keepalive_timer_.cancel();
    close_sent_ = true;
    if (sink_) sink_->On_closing();
    if (paused_) Resume_reading();  // for the peer's close frame
    const std::lock_guard lock(state_mutex_);
    // A close frame without a code is answered by one without (RFC 6455 section 5.5.1).
    if (received_close_ && received_close_->code == 1005) {
        sent_close_.emplace();
        return {};
    }
    sent_close_ = close_frame_t{code, std::string(reason)};
    std::string payload;
    payload.push_back(static_cast<char>(code >> 8));
    payload.push_back(static_cast<char>(code & 0xFF));
    payload.append(reason);
    return payload;
}

void session::record_failure(const protocol::failure& failure) {
    set_error(error_c(failure.close_code == 1009 ? error_e::PAYLOAD_TOO_BIG : error_e::PROTOCOL,
                      failure.reason));
}

/// websocketpp is done with the connection: end the stream, politely where there is a reason to.
void session::shut_down(websocketpp::transport::shutdown_handler handler) {
    if (redirect_) return leave_attempt();
    shutdown_handler_ = std::move(handler);
    if (connector_) connector_->cancel();
    const bool was_open = status_.load() != status_e::CONNECTING;
    if (!stream_.socket().is_open()) return finish();
    if (was_open) {
        // The end of TCP may have been read before the answer to a close frame was written.
        if (!skip_linger_ && !waiting_writable_) flush_outbox();
        stream_.finish();
        bytes_sent_.store(stream_.bytes_out(), std::memory_order_relaxed);
    }
    if (!was_open || skip_linger_ || stream_ended_ || received_close_) return finish();
    // Closing a socket with unread data resets the connection, and the reset may overtake the
    // close frame. So read to the end, for as long as a close handshake may take.
    lingering_ = true;
    paused_ = resting_ = false;
    rest_is_ready_ = false;
    if (options_.close_timeout.count() > 0) {
        deadline_.expires_after(options_.close_timeout);
        deadline_.async_wait([self = self()](std::error_code cancelled) {
            if (!cancelled) self->finish();
        });
    }
    wait_readable();
}

void session::finish() {
    if (ending_) return;
    ending_ = true;
    lingering_ = false;
    deadline_.cancel();
    keepalive_timer_.cancel();
    if (rest_timer_) rest_timer_->cancel();
    {
        const std::lock_guard lock(out_mutex_);
        direct_socket_ = -1;  // before its number can be another's
        outbox_closed_ = true;
        buffered_ = 0;
        outbox_.clear();
        outbox_.shrink();
        out_room_.notify_all();
    }
    stream_.close();
    pending_writes_.clear();
    if (shutdown_handler_) {
        const auto handler = std::exchange(shutdown_handler_, nullptr);
        handler(error_code());
    }
    // websocketpp may still be on the stack.
    loop_->post([self = self()] {
        self->frame_handler_ = nullptr;
        self->handshake_handler_ = nullptr;
        self->connection_.reset();
    });
}

/// Gives the connection up, in whichever state it is.
void session::end(const error_c& error) {
    if (ending_) return;
    set_error(error);
    if (!connection_) {  // not started, or between two attempts
        ending_ = true;
        deadline_.cancel();
        return on_fail();
    }
    const auto keep = self();
    if (connect_handler_) {
        if (connector_) connector_->cancel();
        proxy_query_.cancel();
        const auto handler = std::exchange(connect_handler_, nullptr);
        handler(transport_error());
    } else if (lingering_) {
        finish();
    } else {
        connection_->terminate(transport_error());
    }
}

void session::on_fail() {
    if (connection_) {
        const auto& response = connection_->get_response();
        if (!response.error().empty()) {
            set_error(error_c(response.failed_bound() ? error_e::SECURITY : error_e::HANDSHAKE,
                              response.error()));
        }
    }
    set_error(error_c(error_e::HANDSHAKE, "the opening handshake failed"));
    status_.store(status_e::FAILED);
    if (sink_) return announce_end();
    loop_->turn().add([self = self()] {
        const auto error = self->Get_error();
        self->guarded([&] { self->listener_->On_fail(*self, *error); });
        self->announce_end();
    });
}

/// Says how the connection ended: in order, or what was wrong.
void session::log_end() const {
    if (!options_.log) return;
    const auto error = Get_error();
    const auto received = Received_close();
    // A peer that does not end TCP has closed in order all the same.
    const bool in_order =
        received && Sent_close() && error &&
        (error->Code() == error_e::TIMEOUT || error->Code() == error_e::END_OF_STREAM);
    if (error && error->Code() != error_e::ABORTED && !in_order) {
        return log(log_c::level_e::WARNING, "lost: " + log_name() + ": " + error->Error_msg());
    }
    const std::string how = received ? "close code " + std::to_string(received->code) : "aborted";
    log(log_c::level_e::INFO, "closed: " + log_name() + ": " + how);
}

void session::on_close() {
    status_.store(status_e::CLOSED);
    {
        const std::lock_guard lock(state_mutex_);
        closing_with_.reset();  // if it was not sent by now, it never is
    }
    drop_pings();
    log_end();
    if (sink_) return announce_end();
    loop_->turn().add([self = self()] {
        const auto received = self->Received_close();
        const std::uint16_t code = received ? received->code : std::uint16_t{1006};
        const std::string reason = received ? received->reason : std::string();
        self->guarded([&] { self->listener_->On_close(*self, code, reason); });
        self->announce_end();
    });
}

void session::announce_end() {
    if (sink_) hand_to_sink();
    conclude();
}

}  // namespace wspool::detail
