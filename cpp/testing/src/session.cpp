#include "session.hpp"

#include <utility>

#include "checksum.hpp"

namespace wspool::testing {
namespace {

// Reads of one turn, so that a client that sends without pause doesn't starve the others.
constexpr int reads_a_turn = 8;
// Unsent echoes and pongs above this stop the reading: TCP pushes back, memory stays bounded.
constexpr std::size_t backlog_bound = 4U << 20U;

}  // namespace

session::session(session_context& shared, asio::ip::tcp::socket socket, SSL_CTX* tls)
    : shared_(shared),
      transport_(std::move(socket), tls),
      timer_(transport_.executor()),
      index_(shared.book.add()),
      phase_(tls != nullptr ? phase::tls : phase::request) {}

void session::start() { arm_read(); }

void session::arm_read() {
    if (phase_ == phase::finished) return;
    transport_.when_readable([self = shared_from_this()](const std::error_code& error) {
        if (!error) self->guarded([&] { self->on_readable(); });
    });
}

void session::arm_write() {
    if (write_armed_ || phase_ == phase::finished) return;
    write_armed_ = true;
    transport_.when_writable([self = shared_from_this()](const std::error_code& error) {
        self->write_armed_ = false;
        if (!error) self->guarded([&] { self->pump(); });
    });
}

void session::post(void (session::*step)()) {
    asio::post(transport_.executor(),
               [self = shared_from_this(), step] { self->guarded([&] { ((*self).*step)(); }); });
}

bool session::backlogged() const noexcept { return out_.size() - out_sent_ > backlog_bound; }

void session::on_readable() {
    if (phase_ == phase::tls && !shake_hands()) return;
    bool emptied = false;
    int turn = 0;
    for (; turn < reads_a_turn && !emptied && !backlogged(); ++turn) {
        std::size_t size = shared_.read_buffer.size();
        const std::size_t room = size;
        const io_status status = transport_.read(shared_.read_buffer.data(), size);
        if (status == io_status::again) {
            emptied = true;
        } else if (status != io_status::done) {
            on_lost(status);
            return;
        } else {
            consume(shared_.read_buffer.data(), size);
            // A short read means an empty socket; TLS may hold more in its own buffer.
            emptied = !transport_.secure() && size < room;
        }
    }
    pump();
    if (phase_ == phase::finished) return;
    if (emptied) {
        arm_read();
    } else if (backlogged()) {
        read_paused_ = true;  // settle() takes it up again
    } else {
        post(&session::on_readable);
    }
}

bool session::shake_hands() {
    const io_status status = transport_.handshake();
    if (status == io_status::done) {
        phase_ = phase::request;
        return true;
    }
    if (status == io_status::again) {
        pump();
        arm_read();
    } else {
        transport_.flush();  // the alert that says why
        on_lost(status);
    }
    return false;
}

void session::on_lost(io_status status) {
    if (error_.empty() && !(close_sent_ && close_received_)) {
        error_ = status == io_status::failed ? transport_.error()
                                             : "the client left without a closing handshake";
    }
    finish(std::move(error_));
}

void session::consume(char* data, std::size_t size) {
    if (phase_ == phase::draining) return;
    if (pending_.empty()) {
        const std::size_t used = parse(data, size);
        pending_.append(data + used, size - used);
    } else {
        pending_.append(data, size);
        pending_.erase(0, parse(pending_.data(), pending_.size()));
    }
}

std::size_t session::parse(char* data, std::size_t size) {
    std::size_t used = 0;
    if (phase_ == phase::request) {
        used = take_request({data, size});
        if (phase_ == phase::request && !ending_) return used;
    }
    // What follows a close frame, or a fault, is not looked at (RFC 6455 section 5.5.1).
    while (!ending_ && !close_received_) {
        client_frame frame;
        const parse_result parsed =
            parse_client_frame(data + used, size - used, shared_.options.max_size, frame);
        if (parsed.close_code != 0) fail(parsed.close_code, parsed.reason);
        if (parsed.consumed == 0) break;
        used += parsed.consumed;
        take_frame(frame);
    }
    return ending_ || close_received_ ? size : used;
}

std::size_t session::take_request(std::string_view bytes) {
    handshake_result result = answer_request(bytes, shared_.options.subprotocols);
    if (result.consumed == 0) return 0;
    out_.append(result.response);
    if (!result.accepted) {
        error_ = "handshake refused: " + result.error;
        ending_ = true;
        return result.consumed;
    }
    const std::size_t consumed = result.consumed;
    phase_ = phase::open;
    shared_.book.opened(index_, std::move(result));
    if (shared_.script != nullptr && !shared_.options.replay.start_on_message) begin_replay();
    return consumed;
}

void session::take_frame(const client_frame& frame) {
    switch (frame.code) {
        case opcode::continuation:
        case opcode::text:
        case opcode::binary:
            take_data(frame);
            break;
        case opcode::close:
            take_close(frame.payload);
            break;
        case opcode::ping:
            ++counters_.pings_received;
            if (!shared_.options.silent && !close_sent_) {
                append_frame(out_, opcode::pong, true, frame.payload);
            }
            break;
        case opcode::pong:
            ++counters_.pongs_received;
            break;
    }
}

void session::take_data(const client_frame& frame) {
    if ((frame.code == opcode::continuation) != in_message_) {
        fail(1002, in_message_ ? "new message inside a fragmented one"
                               : "continuation without a message");
        return;
    }
    if (!in_message_) {
        text_ = frame.code == opcode::text;
        message_size_ = 0;
    }
    in_message_ = !frame.fin;
    message_size_ += frame.payload.size();
    if (message_size_ > shared_.options.max_size) {
        fail(1009, "message too big");
        return;
    }
    if (text_ && (!utf8_.feed(frame.payload.data(), frame.payload.size()) ||
                  (frame.fin && !utf8_.finish()))) {
        fail(1007, "text is not UTF-8");
        return;
    }
    counters_.payload_bytes_received += frame.payload.size();
    counters_.messages_received += frame.fin ? 1 : 0;
    if (shared_.options.checksum) {
        counters_.crc32_received = update_crc32(counters_.crc32_received, frame.payload);
    }
    if (shared_.options.mode == mode_e::ECHOING && !shared_.options.silent && !close_sent_) {
        append_frame(out_, frame.code, frame.fin, frame.payload);
        echoed_.messages_sent += frame.fin ? 1 : 0;
        echoed_.payload_bytes_sent += frame.payload.size();
        echoed_.crc32_sent = counters_.crc32_received;  // the same bytes in the same order
    }
    if (shared_.script != nullptr && replay_start_ == decltype(replay_start_){}) begin_replay();
}

void session::take_close(std::string_view payload) {
    const close_payload close = parse_close(payload);
    if (!close.valid) {
        fail(close.code, "malformed close frame");
        return;
    }
    close_received_ = true;
    counters_.close_code_received = close.code;
    if (!shared_.options.silent) queue_close(close.code, {});
}

void session::queue_close(std::uint16_t code, std::string_view reason) {
    if (close_sent_) return;
    close_sent_ = true;
    counters_.close_code_sent = code;
    append_close(out_, code, reason);
}

void session::fail(std::uint16_t code, const char* reason) {
    error_ = reason;
    queue_close(code, reason);
    ending_ = true;
}

void session::send_ping(std::string_view payload) {
    if (phase_ != phase::open || close_sent_) return;
    guarded([&] {
        append_frame(out_, opcode::ping, true, payload.substr(0, max_control_payload));
        ++counters_.pings_sent;
        pump();
    });
}

void session::close(std::uint16_t code, std::string_view reason) {
    if (phase_ == phase::tls || phase_ == phase::request) {
        finish("the server closed before the connection was open");
        return;
    }
    if (phase_ != phase::open) return;
    guarded([&] {
        queue_close(code, reason);
        pump();
    });
}

void session::abort() {
    transport_.close(true);
    finish("aborted by the server");
}

void session::finish(std::string error) {
    if (phase_ == phase::finished) return;
    const auto self = shared_from_this();  // on_finished drops the server's reference
    phase_ = phase::finished;
    timer_.cancel();
    transport_.close(false);
    shared_.book.finished(index_, counters_, std::move(error));
    shared_.on_finished(index_);
}

}  // namespace wspool::testing
