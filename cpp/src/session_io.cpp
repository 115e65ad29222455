/// Reading and writing of a connection; loop thread.

#include <algorithm>
#include <utility>

#include "endpoint_core.hpp"
#include "protocol/utf8.hpp"
#include "session.hpp"

namespace wspool::detail {

using result_e = transport::stream::result_e;

namespace {

websocketpp::lib::error_code end_of_stream() {
    return websocketpp::transport::error::make_error_code(websocketpp::transport::error::eof);
}

websocketpp::lib::error_code stream_failed() {
    return websocketpp::transport::error::make_error_code(
        websocketpp::transport::error::pass_through);
}

// Answers to pings stop being made while this much waits to be written: a peer that pings and
// does not read gets no memory for it (RFC 6455 section 5.5.3 lets the latest answer stand
// for all).
constexpr std::size_t pongs_wait_above = 256 * 1024;
// After so much has been inflated in a turn, what came is handed out before more of it is: it may
// be a thousand times what was read, and the consumer may have no room for it.
constexpr std::size_t inflated_per_turn = 1024 * 1024;
// Of what senders put into the outbox, this much goes through TLS at a time.
constexpr std::size_t write_piece = 256 * 1024;
// After so many pieces the loop's other connections have their turn: senders may be faster than
// the outbox empties.
constexpr int pieces_per_turn = 8;

}  // namespace

// --- reading

void session::read_some(char* buffer, std::size_t size,
                        websocketpp::transport::read_handler handler) {
    handshake_buffer_ = buffer;
    handshake_buffer_size_ = size;
    handshake_handler_ = std::move(handler);
    wait_readable();
}

void session::read_frames(const websocketpp::transport::read_handler& handler) {
    frame_handler_ = &handler;
    wait_readable();
}

void session::wait_readable() {
    if (waiting_readable_ || paused_ || ending_ || stream_ended_) return;
    waiting_readable_ = true;
    auto turn = [self = self(), attempt = redirects_](std::error_code cancelled = {}) {
        if (attempt != self->redirects_) return;
        self->waiting_readable_ = false;
        if (!cancelled) self->readable();
    };
    if (rest_is_ready_ || stream_.has_input()) {
        loop_->post(std::move(turn));
    } else {
        stream_.wait_readable(std::move(turn));
    }
}

void session::readable() {
    if (ending_ || paused_) return;
    if (lingering_) return drain();
    if (handshake_handler_) return read_into_handshake();
    if (frame_handler_ == nullptr) return;

    char* const buffer = loop_->plain_buffer();
    const std::size_t held = rest_.size();
    if (held != 0) rest_.copy(buffer, held);
    std::size_t count = 0;
    auto result = result_e::done;
    if (!std::exchange(rest_is_ready_, false)) {
        std::size_t room = runtime::loop::plain_buffer_size - held;
        if (sink_) room = std::min(room, sink_->Read_size());
        // Not more ciphertext than there is room for as plaintext: what is left would be copied.
        result =
            stream_.read(buffer + held, room, stream_.is_tls() ? loop_->cipher_buffer() : nullptr,
                         std::min(room, runtime::loop::cipher_buffer_size), count);
        bytes_received_.store(stream_.bytes_in(), std::memory_order_relaxed);
    }
    if (result == result_e::done) {
        begin_turn();
        incoming_ = buffer;
        const auto keep = self();  // the handler may end the connection
        (*frame_handler_)(error_code(), held + count);
        incoming_ = nullptr;
        end_turn();
        return;
    }
    if (result == result_e::would_block) return wait_readable();
    const auto failure = stream_.take_error();
    fail_reading(result == result_e::failed ? failure.get() : nullptr);
}

/// Tells websocketpp that reading has ended; null: by the peer's FIN.
void session::fail_reading(const error_c* error) {
    stream_ended_ = true;
    const auto keep = self();
    if (error != nullptr) {
        set_error(*error);
    } else if (status_.load() == status_e::CONNECTING) {
        set_error(
            error_c(error_e::END_OF_STREAM, "the server closed the connection in the handshake"));
    } else if (!received_close_ && write_failure_) {
        set_error(*write_failure_);  // a reset that the writer met first reads like an end
    } else if (!received_close_) {
        set_error(error_c(error_e::END_OF_STREAM, "the peer ended TCP without a close frame"));
    }
    const auto code = error != nullptr ? stream_failed() : end_of_stream();
    if (handshake_handler_) {
        const auto handler = std::exchange(handshake_handler_, nullptr);
        handler(code, 0);
    } else if (frame_handler_ != nullptr) {
        (*frame_handler_)(code, 0);
    }
}

void session::read_into_handshake() {
    std::size_t count = 0;
    const auto result = stream_.read(handshake_buffer_, handshake_buffer_size_,
                                     stream_.is_tls() ? loop_->cipher_buffer() : nullptr,
                                     runtime::loop::cipher_buffer_size, count);
    if (result == result_e::would_block) return wait_readable();
    if (result != result_e::done) {
        // A refusal's body may end with the stream.
        const auto failure = stream_.take_error();
        auto& response = const_cast<handshake_response&>(connection_->get_response());
        if (result == result_e::end && response.have_head()) {
            response.end_of_stream();
            check_response(response);
        }
        return fail_reading(failure.get());
    }
    begin_turn();
    const auto keep = self();
    const auto handler = std::exchange(handshake_handler_, nullptr);
    handler(error_code(), count);
    end_turn();
}

/// Reads to nowhere until the peer ends too.
void session::drain() {
    std::size_t count = 0;
    const auto result = stream_.read(loop_->plain_buffer(), runtime::loop::plain_buffer_size,
                                     stream_.is_tls() ? loop_->cipher_buffer() : nullptr,
                                     runtime::loop::cipher_buffer_size, count);
    if (result == result_e::done || result == result_e::would_block) return wait_readable();
    finish();
}

bool session::defer_end(const websocketpp::transport::read_handler& handler) {
    if (sink_) hand_to_sink();  // it cannot answer, so nothing is gained by waiting
    if (loop_->turn().empty()) return false;
    frame_handler_ = &handler;
    reader_.keep_control();  // it lies in this turn's buffer
    loop_->post([self = self()] {
        if (self->ending_ || self->frame_handler_ == nullptr) return;
        self->end_deferred_ = true;
        (*self->frame_handler_)(error_code(), 0);
    });
    return true;
}

void session::keep_rest(const char* bytes, std::size_t size) {
    rest_is_ready_ = size != 0 && reader_.is_held_back();
    if (size != 0) {
        rest_.assign(bytes, size);
    } else if (!rest_.empty()) {
        rest_.clear();
        if (rest_.capacity() > 256) rest_.shrink_to_fit();
    }
}

std::size_t session::consume(const char* bytes, std::size_t size) {
    if (sink_) return reader_.consume(bytes, size, for_sink(), received_ns_);
    auto& messages = turn_->messages();
    const std::size_t before = messages.size();
    const std::size_t used = reader_.consume(bytes, size, messages, received_ns_);
    received_count_ += messages.size() - before;
    if (drops_messages()) messages.resize(before);
    turn_->append_done(self(), before);
    return used;
}

/// Where messages for the sink are put: into the block that was read into, so that the sink can
/// take it over with them, unless it has done so in this turn.
std::vector<message_view_t>& session::for_sink() {
    const bool in_block = incoming_ != nullptr && !block_taken_;
    return in_block ? loop_->plain_block()->messages : loop_->for_sink().messages;
}

void session::on_joined(std::string_view payload, bool is_text) {
    const bool ascii = is_text && protocol::is_ascii(payload.data(), payload.size());
    if (sink_) {
        const std::string_view kept = loop_->for_sink().kept.emplace_back(payload);
        for_sink().push_back(
            {kept, received_ns_, is_text, ascii, true, true, reader_.generation()});
    } else {
        const std::string_view kept = turn_->keep(std::string(payload));
        turn_->messages().push_back(
            {kept, received_ns_, is_text, ascii, true, true, reader_.generation()});
    }
}

void session::on_joined(std::string&& payload, bool is_text) {
    const bool ascii = is_text && protocol::is_ascii(payload.data(), payload.size());
    if (sink_)
        return hand_piece_to_sink(
            {{}, received_ns_, is_text, ascii, true, true, reader_.generation()},
            std::move(payload));
    const std::string_view kept = turn_->keep(std::move(payload));
    turn_->messages().push_back(
        {kept, received_ns_, is_text, ascii, true, true, reader_.generation()});
}

/// Comes only where a sink asked for fragments.
void session::on_fragment(std::string&& payload, bool is_text, bool first, bool final) {
    hand_piece_to_sink({{}, received_ns_, is_text, false, first, final, reader_.generation()},
                       std::move(payload));
}

/// True for what comes after our close frame while a stalled listener's bound is reached: reading
/// goes on then, for the peer's close frame.
bool session::drops_messages() const { return close_sent_ && is_backlog_full(); }

/// What the frame reader finds until the end of this turn is handed out as ours.
void session::begin_turn() {
    turn_ = &loop_->turn();
    last_received_ = runtime::steady_now();
    received_ns_ = runtime::unix_now();
    last_received_ns_.store(received_ns_, std::memory_order_relaxed);
    reader_.allow_inflating(inflated_per_turn);
}

void session::end_turn() {
    if (sink_) hand_to_sink();
    // Also where the sink is gone: the next to be read on this thread must not find anything of
    // this turn, nor read into what a consumer keeps.
    if (has_sink_) loop_->for_sink().clear();
    if (std::exchange(block_taken_, false))
        loop_->leave_plain_block();
    else if (has_sink_)
        loop_->plain_block()->messages.clear();
    if (sink_) fail_if_queue_full();
    if (messages_received_.load(std::memory_order_relaxed) == received_count_) return;
    messages_received_.store(received_count_, std::memory_order_relaxed);
    payload_received_.store(reader_.payload_bytes(), std::memory_order_relaxed);
    last_message_ns_.store(received_ns_, std::memory_order_relaxed);
    last_data_ = last_received_;
}

void session::hand_to_sink(bool with_block) {
    auto& messages = for_sink();
    if (messages.empty()) return;
    auto& kept = loop_->for_sink().kept;
    incoming_t incoming;
    incoming.messages = messages.data();
    incoming.count = messages.size();
    for (const message_view_t& message : messages) incoming.bytes += message.payload.size();
    received_count_ += incoming.count;
    const bool takable = with_block && incoming_ != nullptr && !block_taken_ && kept.empty();
    if (takable) incoming.block = loop_->plain_block();
    take_verdict(sink_->On_messages(incoming));
    // The bytes are shared until the end of the turn: what follows in them is copied.
    if (takable && !incoming.block)
        block_taken_ = true;
    else
        messages.clear();
    if (!kept.empty()) kept.clear();
}

void session::hand_piece_to_sink(message_view_t piece, std::string&& storage) {
    hand_to_sink(false);  // in order; the reader goes on with the block
    if (piece.is_final) ++received_count_;
    piece.payload = storage;
    take_verdict(sink_->On_piece(piece, std::move(storage)));
}

/// What the sink says.
void session::take_verdict(sink_c::verdict_e verdict) {
    if (verdict == sink_c::verdict_e::FAIL) queue_failed_ = true;
    if (close_sent_ || verdict < sink_c::verdict_e::REST || verdict > sink_c::verdict_e::PAUSE)
        return;
    if (verdict == sink_c::verdict_e::PAUSE) return pause_reading();
    if (paused_) return;
    paused_ = resting_ = true;
    rest();
}

/// Reads on after a while if the sink has not asked for that. The timer is left alone when it has:
/// at most one is under way, however many rests there are.
void session::rest() {
    rest_until_ = runtime::steady_now() + std::chrono::nanoseconds(sink_c::longest_rest).count();
    if (rest_timer_) return;
    rest_timer_ = std::make_unique<asio::steady_timer>(loop_->io());
    wait_rest();
}

void session::wait_rest() {
    rest_timer_->expires_after(std::chrono::nanoseconds(rest_until_ - runtime::steady_now()));
    rest_timer_->async_wait([self = self()](std::error_code cancelled) {
        if (self->resting_ && !cancelled && runtime::steady_now() < self->rest_until_) {
            return self->wait_rest();
        }
        self->rest_timer_.reset();
        if (!self->resting_ || cancelled) return;
        if (self->sink_) self->sink_->On_rested();
        self->go_on_reading();
    });
}

/// Where the sink has no room and wants no more.
void session::fail_if_queue_full() {
    if (std::exchange(queue_failed_, false)) fail_for_full_queue();
}

void session::fail_for_full_queue() {
    if (!connection_) return;
    set_error(error_c(error_e::QUEUE_FULL, "the receive queue is full"));
    error_code failed;
    connection_->close(1008, "receive queue is full", failed);
}

// --- delivering

void session::set_aside(std::size_t messages, std::size_t bytes) {
    add_to_backlog(messages, bytes, received_ns_);
    if (is_backlog_full()) pause_reading();
}

// --- writing

void session::write(const std::vector<websocketpp::transport::buffer>& buffers,
                    websocketpp::transport::write_handler handler) {
    {
        const std::lock_guard lock(out_mutex_);
        for (const auto& buffer : buffers) {
            outbox_.append(buffer.buf, buffer.len);
            outbox_total_ += buffer.len;
            buffered_ += buffer.len;
        }
        pending_writes_.push_back({outbox_total_, std::move(handler)});
        if (flush_requested_) return;
        flush_requested_ = true;
    }
    // Later in this turn's order, so that websocketpp may go on with its state first.
    loop_->post([self = self()] { self->flush(); });
}

bool session::may_answer_ping() const { return Get_buffered_amount() < pongs_wait_above; }

void session::flush() {
    {
        const std::lock_guard lock(out_mutex_);
        flush_requested_ = false;
    }
    if (ending_ || waiting_writable_) return;
    bool again = false;
    for (int piece = 0;; ++piece) {
        flush_outbox();
        const auto result = stream_.flush();
        bytes_sent_.store(stream_.bytes_out(), std::memory_order_relaxed);
        if (result == result_e::failed) return fail_writing();
        if (result == result_e::would_block) {
            waiting_writable_ = true;
            stream_.wait_writable([self = self(), attempt = redirects_](std::error_code cancelled) {
                if (attempt != self->redirects_) return;
                self->waiting_writable_ = false;
                if (!cancelled) self->flush();
            });
            break;
        }
        const std::lock_guard lock(out_mutex_);
        if (outbox_.empty() && writing_.empty()) break;
        if (piece == pieces_per_turn) {
            again = !flush_requested_;
            flush_requested_ = true;
            break;
        }
    }
    if (again) loop_->post([self = self()] { self->flush(); });
    complete_writes();
}

void session::fail_writing() {
    const auto failure = stream_.take_error();
    {
        const std::lock_guard lock(out_mutex_);
        outbox_.clear();
        writing_.clear();
        buffered_ = 0;
        outbox_closed_ = true;
        out_room_.notify_all();
    }
    // While frames are read, the reading side says how the connection ended: the peer may have
    // sent a close frame before it went.
    if (waiting_readable_ && frame_handler_ != nullptr) {
        write_failure_ = std::make_unique<const error_c>(*failure);
        return;
    }
    set_error(*failure);
    const auto keep = self();
    auto writes = std::move(pending_writes_);
    pending_writes_.clear();
    for (const pending_write& write : writes) write.handler(stream_failed());
}

/// Moves what senders appended into the stream, as far as it takes it.
void session::flush_outbox() {
    if (writing_.empty()) {
        const std::lock_guard lock(out_mutex_);
        writing_.swap(outbox_);
    }
    while (!writing_.empty()) {
        const std::size_t taken =
            stream_.write(writing_.data(), std::min(writing_.size(), write_piece));
        if (taken == 0) return;
        writing_.consume(taken);
    }
}

void session::complete_writes() {
    std::uint64_t written = 0;
    bool has_room = false;
    {
        const std::lock_guard lock(out_mutex_);
        buffered_ = outbox_.size() + writing_.size() + stream_.unsent();
        has_room = room_wanted_ && buffered_ <= options_.write_bound / 4;
        if (has_room) room_wanted_ = false;
        written = outbox_total_ - std::min<std::uint64_t>(outbox_total_, buffered_);
        out_room_.notify_all();
    }
    // Under TLS what is unsent is counted as ciphertext, so a write may be reported late, but
    // never early.
    const auto keep = self();
    if (has_room && sink_) sink_->On_room();
    while (!pending_writes_.empty() && pending_writes_.front().until <= written) {
        const auto handler = std::move(pending_writes_.front().handler);
        pending_writes_.erase(pending_writes_.begin());
        handler(error_code());
    }
}

}  // namespace wspool::detail
