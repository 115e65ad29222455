/// websocketpp's connection for wspool's config: the frame processor, and the specialised
/// members that wspool/detail/connection.hpp declares.

#include <string>
#include <utility>

#include "protocol/frame.hpp"
#include "session.hpp"
#include "wspool/client.hpp"

namespace wspool::detail {

namespace {

using websocketpp::lib::error_code;
namespace ws_error = websocketpp::processor::error;

/// What websocketpp calls a processor: the protocol between its state machine and the wire.
/// Messages bypass it, from the frame reader into the session; control frames go through it.
class frame_processor final : public websocketpp::processor::processor<client_config> {
public:
    using base = websocketpp::processor::processor<client_config>;
    using manager_ptr = client_config::con_msg_manager_type::ptr;
    using ws_opcode = websocketpp::frame::opcode::value;

    frame_processor(session& owner, manager_ptr manager, random_source& random)
        : base(false, false), owner_(owner), manager_(std::move(manager)), random_(random) {}

    int get_version() const override { return 13; }

    // --- handshake, client side
    error_code client_handshake_request(request_type& request, websocketpp::uri_ptr,
                                        const std::vector<std::string>&) const override {
        request.set_raw(owner_.write_request());
        return {};
    }
    error_code validate_server_handshake_response(const request_type&,
                                                  response_type& response) const override {
        return owner_.check_response(response);
    }

    // --- frames in
    std::size_t consume(std::uint8_t* bytes, std::size_t size, error_code& error) override {
        const std::size_t used = owner_.consume(reinterpret_cast<const char*>(bytes), size);
        if (const auto failure = owner_.reader().failed()) error = code_of(failure.close_code);
        return used;
    }
    bool ready() const override { return owner_.reader().has_control(); }
    bool get_error() const override { return static_cast<bool>(owner_.reader().failed()); }
    message_ptr get_message() override {
        const auto& reader = owner_.reader();
        const auto payload = reader.control_payload();
        auto message =
            manager_->get_message(static_cast<ws_opcode>(reader.control_opcode()), payload.size());
        message->set_payload(payload.data(), payload.size());
        return message;
    }

    // --- control frames out
    error_code prepare_ping(const std::string& payload, message_ptr out) const override {
        return prepare(protocol::opcode_e::ping, payload, *out);
    }
    error_code prepare_pong(const std::string& payload, message_ptr out) const override {
        return prepare(protocol::opcode_e::pong, payload, *out);
    }
    error_code prepare_close(websocketpp::close::status::value code, const std::string& reason,
                             message_ptr out) const override {
        return prepare(protocol::opcode_e::close, owner_.record_sent_close(code, reason), *out);
    }

    // --- not for a client, or done by the session
    error_code prepare_data_frame(message_ptr, message_ptr) override {
        return ws_error::make_error_code(ws_error::general);
    }
    error_code validate_handshake(const request_type&) const override { return server_only(); }
    error_code process_handshake(const request_type&, const std::string&,
                                 response_type&) const override {
        return server_only();
    }
    std::string get_raw(const response_type&) const override { return {}; }
    const std::string& get_origin(const request_type&) const override { return empty_; }
    error_code extract_subprotocols(const request_type&, std::vector<std::string>&) override {
        return server_only();
    }
    websocketpp::uri_ptr get_uri(const request_type&) const override { return {}; }

private:
    static error_code server_only() { return ws_error::make_error_code(ws_error::general); }

    /// websocketpp turns the code back with `to_ws`.
    static error_code code_of(unsigned close_code) {
        switch (close_code) {
            case 1007:
                return ws_error::make_error_code(ws_error::invalid_payload);
            case 1009:
                return ws_error::make_error_code(ws_error::message_too_big);
            default:
                return ws_error::make_error_code(ws_error::protocol_violation);
        }
    }

    template <typename Message>
    error_code prepare(protocol::opcode_e opcode, std::string_view payload, Message& out) const {
        std::string frame(protocol::client_frame_size(payload.size()), '\0');
        protocol::write_client_frame(frame.data(), opcode, true, false, payload, random_());
        out.set_opcode(static_cast<websocketpp::frame::opcode::value>(opcode));
        out.set_header(std::move(frame));
        out.set_payload(std::string());
        out.set_prepared(true);
        return {};
    }

    session& owner_;
    manager_ptr manager_;
    random_source& random_;
    std::string empty_;
};

}  // namespace

}  // namespace wspool::detail

namespace websocketpp {

using wspool_config = wspool::detail::client_config;
using wspool_connection = connection<wspool_config>;

template <>
wspool_connection::processor_ptr wspool_connection::get_processor(int /*version*/) const {
    return lib::make_shared<wspool::detail::frame_processor>(*owner(), m_msg_manager, m_rng);
}

template <>
void wspool_connection::read_frame() {
    const auto session = owner();
    if (m_read_flag && session) session->read_frames(m_handle_read_frame);
}

template <>
void wspool_connection::handle_read_frame(lib::error_code const& error, size_t count) {
    if (m_internal_state != istate::PROCESS_CONNECTION || m_state == session::state::closed) return;
    if (error) {
        const bool expected = error == transport::error::eof && m_state == session::state::closing;
        terminate(expected ? lib::error_code() : error);
        return;
    }
    const auto session = owner();
    if (!session) return;
    auto& reader = session->reader();
    // The first bytes may have come with the handshake, in websocketpp's own buffer.
    const char* const bytes = session->incoming() != nullptr ? session->incoming() : m_buf;
    size_t used = 0;
    bool resumed = session->take_deferred();
    while (resumed || used < count) {
        if (session->closed_by_peer()) {  // nothing counts behind a close frame
            used = count;
            break;
        }
        if (!resumed) {
            lib::error_code ignored;  // the reader keeps it
            used += m_processor->consume(
                reinterpret_cast<uint8_t*>(const_cast<char*>(bytes)) + used, count - used, ignored);
        }
        const auto failure = reader.failed();
        const bool closes = !failure && reader.has_control() &&
                            reader.control_opcode() == wspool::protocol::opcode_e::close;
        // What came before the end is delivered, and may be answered, before the end begins.
        if ((failure || closes) && !resumed && session->defer_end(m_handle_read_frame)) return;
        resumed = false;
        if (failure) {
            session->record_failure(failure);
            if (m_state == session::state::open) {  // RFC 6455 section 7.1.7: say why, and end
                send_close_frame(static_cast<close::status::value>(failure.close_code),
                                 failure.reason, false, true);
            } else {
                terminate(processor::error::make_error_code(processor::error::protocol_violation));
            }
            return;
        }
        if (!reader.has_control()) break;
        if (closes) session->record_received_close(reader.control_payload());
        process_control_frame(m_processor->get_message());
        if (m_state == session::state::closed) return;
    }
    session->keep_rest(bytes + used, count - used);
    session->hand_out();  // before it is asked for more: the answer may be a pause
    read_frame();
}

template <>
lib::error_code wspool_connection::send(void const* payload, size_t size,
                                        frame::opcode::value opcode) {
    const auto session = owner();
    if (!session) return error::make_error_code(error::invalid_state);
    const std::string_view text(static_cast<const char*>(payload), size);
    const auto problem = session->Send(text, opcode == frame::opcode::text, {});
    if (!problem) return {};
    switch (problem->Code()) {
        case wspool::error_e::BUFFER_FULL:
            return error::make_error_code(error::send_queue_full);
        case wspool::error_e::INVALID_ARGUMENT:
            return error::make_error_code(error::invalid_utf8);
        default:
            return error::make_error_code(error::invalid_state);
    }
}

template <>
lib::error_code wspool_connection::send(std::string const& payload, frame::opcode::value opcode) {
    return send(payload.data(), payload.size(), opcode);
}

template <>
lib::error_code wspool_connection::send(message_ptr message) {
    const std::string& payload = message->get_payload();
    return send(payload.data(), payload.size(), message->get_opcode());
}

template <>
void wspool_connection::close(close::status::value const code, std::string const& reason,
                              lib::error_code& error) {
    const auto session = owner();
    if (!session) {
        error = error::make_error_code(error::invalid_state);
        return;
    }
    if (!session->owns_loop()) {  // comes back on the loop
        const auto problem = session->Close(code, reason);
        error = problem ? error::make_error_code(error::invalid_close_code) : lib::error_code();
        return;
    }
    if (m_state != session::state::open) {
        error = error::make_error_code(error::invalid_state);
        return;
    }
    // Terminal only if asked for, whatever the code: the peer's close frame is waited for.
    error = send_close_frame(code, reason, false, session->fails());
}

template <>
void wspool_connection::ping(std::string const& payload, lib::error_code& error) {
    const auto session = owner();
    if (!session) {
        error = error::make_error_code(error::invalid_state);
        return;
    }
    const auto problem = session->Ping(payload, nullptr);
    error = problem ? error::make_error_code(error::invalid_state) : lib::error_code();
}

template <>
void wspool_connection::pong(std::string const& payload, lib::error_code& error) {
    const auto session = owner();
    if (!session) {
        error = error::make_error_code(error::invalid_state);
        return;
    }
    const auto problem = session->Pong(payload);
    error = problem ? error::make_error_code(error::invalid_state) : lib::error_code();
}

template class connection<wspool_config>;

}  // namespace websocketpp
