/// The part of a connection that any thread may call.

#include "endpoint_core.hpp"
#include "protocol/frame.hpp"
#include "protocol/utf8.hpp"
#include "session.hpp"
#include "wspool/detail/random_source.hpp"

namespace wspool::detail {

using protocol::opcode_e;

namespace {

// Above this a write may take long, and the sender holds the outbox meanwhile.
constexpr std::size_t most_direct = 64 * 1024;

error_ptr check_control_payload(std::string_view payload) {
    if (payload.size() <= protocol::max_control_payload) return nullptr;
    return make_error(error_e::INVALID_ARGUMENT,
                      "payload: a control frame holds at most 125 bytes");
}

}  // namespace

error_ptr session::not_open() const {
    if (status_.load() == status_e::OPENED && !in_other_process()) return nullptr;
    return connection_base::not_open("the connection is not open yet");
}

error_ptr session::Send(std::string_view message, bool is_text,
                        std::optional<std::chrono::nanoseconds> wait) {
    return send_whole(message, is_text, wait, true);
}

error_ptr session::send_beyond_bound(std::string_view message, bool is_text) {
    return send_whole(message, is_text, std::chrono::nanoseconds(0), false);
}

error_ptr session::send_whole(std::string_view message, bool is_text,
                              std::optional<std::chrono::nanoseconds> wait, bool is_bounded) {
    if (auto error = not_open()) return error;
    if (is_text && !protocol::check_text(message.data(), message.size()).is_valid) {
        return make_error(error_e::INVALID_ARGUMENT, "message: text must be valid UTF-8");
    }
    frame_t frame{is_text ? opcode_e::text : opcode_e::binary};
    frame.is_bounded = is_bounded;
    auto error = append_frame(frame, message, wait);
    if (!error) messages_sent_.fetch_add(1, std::memory_order_relaxed);
    return error;
}

error_ptr session::Send_fragment(std::string_view payload, bool is_text, bool is_first,
                                 bool is_final, std::optional<std::chrono::nanoseconds> wait) {
    if (auto error = not_open()) return error;
    const auto opcode = !is_first ? opcode_e::continuation
                        : is_text ? opcode_e::text
                                  : opcode_e::binary;
    auto error = append_frame({opcode, is_final, is_text}, payload, wait);
    if (!error && is_final) messages_sent_.fetch_add(1, std::memory_order_relaxed);
    return error;
}

/// What of a message in fragments cannot be told from one fragment alone. out_mutex_ is held.
error_ptr session::check_fragment(const frame_t& frame, std::string_view payload) {
    if (protocol::is_control(frame.opcode)) return nullptr;
    const bool continues = frame.opcode == opcode_e::continuation;
    if (sends_fragments_ && !continues) {
        return make_error(error_e::CONCURRENCY, "another message is being sent in fragments");
    }
    if (!sends_fragments_ && continues) {
        return make_error(error_e::INVALID_STATE, "no message is being sent in fragments");
    }
    if (!continues && frame.is_final) return nullptr;
    if (!continues) fragments_utf8_.reset();
    if (frame.is_text && (!fragments_utf8_.consume(payload.data(), payload.size()) ||
                          (frame.is_final && !fragments_utf8_.complete()))) {
        return make_error(error_e::INVALID_ARGUMENT, "message: text must be valid UTF-8");
    }
    sends_fragments_ = !frame.is_final;
    return nullptr;
}

/// Frames and masks into the outbox; asks for a flush if none is under way.
error_ptr session::append_frame(const frame_t& frame, std::string_view payload,
                                std::optional<std::chrono::nanoseconds> wait) {
    const std::uint32_t key = random_source::This_thread()();
    const std::size_t size = protocol::client_frame_size(payload.size());
    bool request = false;
    {
        std::unique_lock lock(out_mutex_);
        const auto fits = [&] {
            return outbox_closed_ || buffered_ == 0 || !frame.is_bounded ||
                   protocol::is_control(frame.opcode) || buffered_ + size <= options_.write_bound;
        };
        if (!fits()) {
            if (loop_->on_own_thread()) {
                return make_error(error_e::BUFFER_FULL, "the write buffer is full");
            }
            if (!wait) {
                out_room_.wait(lock, fits);
            } else if (wait->count() <= 0 || !out_room_.wait_for(lock, *wait, fits)) {
                room_wanted_ = true;
                return make_error(error_e::TIMEOUT, "the write buffer stayed full");
            }
        }
        if (outbox_closed_) {
            lock.unlock();
            auto error = not_open();
            return error ? std::move(error)
                         : make_error(error_e::INVALID_STATE, "the connection is closing");
        }
        if (auto error = check_fragment(frame, payload)) return error;
        write_frame(frame, payload, key);
        if (write_directly()) return nullptr;
        request = !flush_requested_;
        flush_requested_ = true;
    }
    if (request) request_flush();
    return nullptr;
}

/// out_mutex_ is held.
void session::write_frame(const frame_t& frame, std::string_view payload, std::uint32_t key) {
    bool compressed = false;
    if (deflater_ && payload.size() >= protocol::deflater::threshold && frame.is_final &&
        (frame.opcode == opcode_e::text || frame.opcode == opcode_e::binary)) {
        // In the order of sending, which the context carries over: so under the lock.
        const std::string_view deflated = deflater_->deflate(payload);
        if (!deflated.empty()) {
            compressed = true;
            payload = deflated;
        }
    }
    const std::size_t size = protocol::client_frame_size(payload.size());
    protocol::write_client_frame(outbox_.extend(size), frame.opcode, frame.is_final, compressed,
                                 payload, key);
    outbox_total_ += size;
    buffered_ += size;
}

/// Gives what was just put into the outbox to the system at once, on the sender's thread: no
/// thread is woken for it. Only where nothing else waits, on a plain connection, and not in a
/// burst, of which the loop's thread makes fewer and larger writes. out_mutex_ is held; true if
/// nothing is left.
bool session::write_directly() {
    constexpr std::int64_t burst = 20'000;  // ns
    if (direct_socket_ < 0 || flush_requested_ || buffered_ != outbox_.size() ||
        outbox_.size() > most_direct || loop_->on_own_thread()) {
        return false;
    }
    const std::int64_t now = runtime::steady_now();
    if (now - std::exchange(last_direct_, now) < burst) return false;
    const std::size_t sent = transport::send_some(direct_socket_, outbox_.data(), outbox_.size());
    outbox_.consume(sent);
    buffered_ -= sent;
    bytes_sent_directly_.fetch_add(sent, std::memory_order_relaxed);
    return outbox_.empty();
}

void session::request_flush() {
    // From a callback the first flush is made at once, for the shortest round trip; what else
    // the same delivery sends is gathered into one.
    if (loop_->enter_once()) {
        flush();
        loop_->leave();
        return;
    }
    loop_->post([self = self()] { self->flush(); });
}

error_ptr session::Ping(std::string_view payload, on_pong_t on_pong) {
    if (auto error = not_open()) return error;
    if (auto error = check_control_payload(payload)) return error;
    const std::uint32_t key = random_source::This_thread()();
    bool request = false;
    {
        const std::lock_guard lock(out_mutex_);
        if (outbox_closed_) return make_error(error_e::INVALID_STATE, "the connection is closing");
        // Noted in the order of sending, which tells what an answer stands for.
        write_frame({opcode_e::ping}, payload, key);
        pings_.push_back({std::string(payload), runtime::steady_now(), std::move(on_pong)});
        request = !flush_requested_;
        flush_requested_ = true;
    }
    if (request) request_flush();
    return nullptr;
}

error_ptr session::Pong(std::string_view payload) {
    if (auto error = not_open()) return error;
    if (auto error = check_control_payload(payload)) return error;
    return append_frame({opcode_e::pong}, payload, {});
}

error_ptr session::Close(std::uint16_t code, std::string_view reason) {
    bool in_message = false;
    {
        const std::lock_guard lock(out_mutex_);
        in_message = sends_fragments_;
    }
    // The peer waits for the rest of a message, and cannot take this for an end in order.
    if (in_message) return begin_closing(1011, "close during fragmented message", true);
    return begin_closing(code, reason, false);
}

error_ptr session::Fail(std::uint16_t code, std::string_view reason) {
    return begin_closing(code, reason, true);
}

error_ptr session::begin_closing(std::uint16_t code, std::string_view reason, bool is_failure) {
    if (in_other_process()) return wrong_process();
    if (auto error = protocol::check_close(code, reason)) return error;
    status_e expected = status_e::OPENED;
    {
        const std::lock_guard lock(state_mutex_);
        if (status_.compare_exchange_strong(expected, status_e::CLOSING)) {
            closing_with_ = close_frame_t{code, std::string(reason)};
        }
    }
    if (expected == status_e::CONNECTING) {
        Abort();
    } else if (expected == status_e::OPENED) {
        loop_->post([self = self(), code, text = std::string(reason), is_failure] {
            error_code failed;
            self->fails_ = is_failure;
            if (self->connection_) self->connection_->close(code, text, failed);
        });
    }
    return nullptr;
}

void session::Abort() {
    if (in_other_process()) return;
    loop_->post([self = self()] {
        self->skip_linger_ = true;
        self->end(error_c(error_e::ABORTED, "the connection was aborted"));
    });
}

void session::Resume_reading() {
    if (in_other_process()) return;
    loop_->post([self = self()] {
        if (self->paused_) self->go_on_reading();
    });
}

void session::pause_reading() {
    if (close_sent_ || (paused_ && !resting_)) return;
    paused_ = true;
    resting_ = false;
    paused_since_ = runtime::steady_now();
    pauses_.fetch_add(1, std::memory_order_relaxed);
    watch_pause();
}

void session::give_up(const error_c& error) {
    skip_linger_ = true;
    end(error);
}

std::optional<close_frame_t> session::Received_close() const {
    const std::lock_guard lock(state_mutex_);
    return received_close_;
}

std::optional<close_frame_t> session::Sent_close() const {
    const std::lock_guard lock(state_mutex_);
    return sent_close_ ? sent_close_ : closing_with_;
}

bool session::Received_close_first() const {
    const std::lock_guard lock(state_mutex_);
    return received_close_first_;
}

request_t session::Get_request() const {
    const std::lock_guard lock(state_mutex_);
    return request_;
}

response_t session::Get_response() const {
    const std::lock_guard lock(state_mutex_);
    return response_;
}

std::string session::Get_subprotocol() const {
    const std::lock_guard lock(state_mutex_);
    return subprotocol_;
}

std::pair<std::string, std::uint16_t> session::Get_local_address() const {
    const std::lock_guard lock(state_mutex_);
    return local_address_;
}

std::pair<std::string, std::uint16_t> session::Get_remote_address() const {
    const std::lock_guard lock(state_mutex_);
    return remote_address_;
}

std::chrono::nanoseconds session::Get_latency() const {
    return std::chrono::nanoseconds(latency_ns_.load());
}

statistics_t session::Get_statistics() const {
    constexpr auto relaxed = std::memory_order_relaxed;
    statistics_t s;
    s.messages_received = messages_received_.load(relaxed);
    s.payload_received = payload_received_.load(relaxed);
    s.bytes_received = bytes_received_.load(relaxed);
    s.messages_sent = messages_sent_.load(relaxed);
    s.bytes_sent = bytes_sent_.load(relaxed) + bytes_sent_directly_.load(relaxed);
    s.pauses = pauses_.load(relaxed);
    s.last_message_ns = last_message_ns_.load(relaxed);
    s.last_received_ns = last_received_ns_.load(relaxed);
    add_own_counts(s);
    const std::lock_guard lock(out_mutex_);
    if (round_trips_) s.round_trips = *round_trips_;
    return s;
}

std::size_t session::Get_buffered_amount() const {
    const std::lock_guard lock(out_mutex_);
    return buffered_;
}

}  // namespace wspool::detail
